//! Releases that the server refuses, for a reason that may pass.

use tokio::time::sleep;
use tracing::Level;
use volguard::{Key, Session, Volguard, sql};

use crate::support::{Database, LONG, Log, MOMENT, Observer, code, key, named_direct, session, session_in, unique};

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
        observer
            .run(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'; SELECT volguard.grant_usage('{name}')"))
            .await;
        Role { database, name, observer }
    }

    async fn connect(&self) -> Volguard {
        let mut config = self.database.config();
        config.user(&self.name).password("secret");
        self.database.client().config(config).connect().await.unwrap()
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
    let session = session(&role.connect().await).await;
    let acquire = async |ids: &[&str]| {
        let keys: Vec<_> = ids.iter().map(|id| ("volume", *id)).collect();
        session.acquire(keys).await.unwrap().expect("free")
    };
    let (released, dropped, several) = (acquire(&["1"]).await, acquire(&["2"]).await, acquire(&["3", "4"]).await);
    role.allow(false).await;
    let refused = released.release().await.unwrap_err();
    assert_eq!(code(&refused), Some("42501"), "{refused}");
    drop((dropped, several));
    // Said once for each guard.
    log.until(Level::ERROR, "a release is refused", 3).await;
    sleep(MOMENT * 3).await;
    assert_eq!(role.observer.locks_of(&session).await, 4);
    assert!(session.acquire(("volume", "1")).await.unwrap().is_none());
    assert_eq!(log.count(Level::ERROR, "a release is refused"), 3, "{:?}", log.lines());
    role.allow(true).await;
    role.observer.until(0, async |o| o.locks_of(&session).await).await;
    let again = session.acquire(("volume", "1")).wait(LONG).await.unwrap();
    assert!(again.unwrap().release().await.unwrap());
    assert_eq!(log.count(Level::ERROR, "a release is refused"), 3, "{:?}", log.lines());
    role.remove(session).await;
}

#[tokio::test]
async fn work_that_cant_be_given_back_is_given_back_later() {
    let (role, cluster) = (Role::new().await, unique("cluster"));
    let volguard = role.connect().await;
    let session = session_in(&volguard, &cluster).await;
    let crashed = session_in(&volguard, &cluster).await;
    let dead = crashed.service_id();
    let _work = crashed.acquire(Key::new("volume", "v").status("deleting")).await.unwrap().expect("free");
    assert_eq!(crashed.stop().await.unwrap(), 1);
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
    let lock = session.acquire(key("1")).await.unwrap().expect("free");
    let connections = [volguard.connection().await.unwrap(), volguard.connection().await.unwrap()];
    for connection in &connections {
        // The client takes it for prepared.
        sql::release(connection, 0).await.unwrap();
        connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    }
    drop(connections);
    let vanished = lock.release().await.unwrap_err();
    assert_eq!(code(&vanished), Some("26000"), "{vanished}");
    observer.until(0, async |o| o.locks_of(&session).await).await;
}
