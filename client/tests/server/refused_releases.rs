//! Releases that the server refuses, for a reason that may pass.

use tokio::time::sleep;
use tracing::Level;
use volguard::{Session, Volguard};

use crate::support::{Database, Log, MOMENT, Observer, code, named_direct, session, unique};

/// A role of its own, in a database of its own, which may use the extension.
struct Role {
    database: Database,
    name: String,
    observer: Observer,
}

impl Role {
    async fn new() -> Role {
        let (database, name) = (Database::new().await, unique("role").replace('-', "_"));
        let observer = Observer::of(&database.config()).await;
        observer.run(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'; SELECT volguard.grant_usage('{name}')")).await;
        Role { database, name, observer }
    }

    async fn connect(&self) -> (Volguard, Session) {
        let mut config = self.database.config();
        config.user(&self.name).password("secret");
        let volguard = self.database.client().config(config).connect().await.unwrap();
        let session = session(&volguard).await;
        (volguard, session)
    }

    /// Grants the releases to the role, or revokes them from it.
    async fn allow(&self, allowed: bool) {
        let change = if allowed { "GRANT EXECUTE ON FUNCTION {} TO" } else { "REVOKE EXECUTE ON FUNCTION {} FROM" };
        let all = "volguard.release(bigint), volguard.release_all(bigint[]), volguard.abandon_cleanup(bigint)";
        self.observer.run(&format!("{} {}", change.replace("{}", all), self.name)).await;
    }

    /// Closes all connections of the role, so that it can be dropped.
    async fn remove(self, session: Session) {
        session.stop().await.unwrap();
        let Role { database, name, .. } = self;
        drop(database);
        Observer::new().await.run(&format!("DROP ROLE {name}")).await;
    }
}

#[tokio::test]
async fn a_refused_release_is_repeated_until_it_succeeds() {
    let (log, role) = (Log::listen(), Role::new().await);
    let (_volguard, session) = role.connect().await;
    let acquire = async |ids: &[&str]| {
        let keys: Vec<_> = ids.iter().map(|id| ("volume", *id)).collect();
        session.acquire(keys).await.unwrap().expect("free")
    };
    let (released, dropped, several) = (acquire(&["1"]).await, acquire(&["2"]).await, acquire(&["3", "4"]).await);
    role.allow(false).await;
    let refused = released.release().await.unwrap_err();
    assert_eq!(code(&refused), Some("42501"), "{refused}");
    drop((dropped, several));
    sleep(MOMENT * 3).await;
    assert_eq!(role.observer.locks_of(&session).await, 4);
    assert!(session.acquire(("volume", "1")).await.unwrap().is_none());
    // Said once for each guard.
    assert_eq!(log.count(Level::ERROR, "a release is refused"), 3, "{:?}", log.lines());
    role.allow(true).await;
    role.observer.until(0, async |o| o.locks_of(&session).await).await;
    let again = session.acquire(("volume", "1")).wait(crate::support::LONG).await.unwrap();
    assert!(again.unwrap().release().await.unwrap());
    assert_eq!(log.count(Level::ERROR, "a release is refused"), 3, "{:?}", log.lines());
    role.remove(session).await;
}

#[tokio::test]
async fn work_that_cant_be_given_back_is_given_back_later() {
    let role = Role::new().await;
    let (_volguard, session) = role.connect().await;
    let of_the_cluster = "SELECT cluster FROM volguard.service_status WHERE service_id = $1";
    let admin = role.database.admin().await;
    let cluster: String = admin.query_one(of_the_cluster, &[&session.service_id()]).await.unwrap().get(0);
    let crash = "WITH service AS (SELECT volguard.register_service('h', 'b', cluster => $1) AS id) \
                 SELECT volguard.acquire(id, 'volume', 'v', status => 'deleting') IS NOT NULL, id FROM service";
    let dead: i64 = admin.query_one(crash, &[&cluster]).await.unwrap().get(1);
    assert_eq!(role.observer.number("SELECT volguard.deregister_service($1)", &[&dead]).await, 1);
    let work = session.claims().try_next().await.unwrap().expect("some work");
    role.allow(false).await;
    let refused = work.abandon_cleanup().await.unwrap_err();
    assert_eq!(code(&refused), Some("42501"), "{refused}");
    sleep(MOMENT * 2).await;
    assert_eq!(role.observer.locks_of_service(dead).await, 0);
    role.allow(true).await;
    role.observer.until(1, async |o| o.locks_of_service(dead).await).await;
    role.remove(session).await;
}

/// A pooler in transaction mode that keeps no track of statements refuses with 26000.
#[tokio::test]
async fn a_release_whose_statement_vanished_is_repeated() {
    let volguard = named_direct(&unique("app")).pool_size(2).connect().await.unwrap();
    let (session, observer) = (session(&volguard).await, Observer::new().await);
    let acquire = async |id| session.acquire(crate::support::key(id)).await.unwrap().expect("free");
    assert!(acquire("0").await.release().await.unwrap());
    let (released, dropped) = (acquire("1").await, acquire("2").await);
    let connections = [volguard.connection().await.unwrap(), volguard.connection().await.unwrap()];
    for connection in &connections {
        connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    }
    drop(connections);
    let _ = released.release().await;
    drop(dropped);
    observer.until(0, async |o| o.locks_of(&session).await).await;
}
