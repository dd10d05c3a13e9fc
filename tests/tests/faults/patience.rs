//! A client that hangs in a transaction with the service lock of its dead service: its session is ended by a cleanup.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Observer, Route, Site, Sql, Violation, until};

use crate::waiting::Waiter;

/// Long enough that it doesn't end by itself.
const LEASE: Duration = Duration::from_secs(3600);

/// A session with a token that it has checked, in a transaction.
struct Hanging {
    sql: Sql,
    pid: i64,
    service: i64,
    token: i64,
}

impl Hanging {
    async fn new(site: &Site) -> anyhow::Result<Self> {
        let Waiter { sql, .. } = Waiter::new(site, "other").await?;
        let (service, pid) = (sql.register("hanging", LEASE).await?, sql.pid().await?);
        let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
        sql.run(&format!("BEGIN; SELECT volguard.assert_held({token})")).await?;
        Ok(Self { sql, pid, service, token })
    }

    /// It was over a lease ago.
    async fn end_lease_long_ago(&self, observer: &Observer) -> anyhow::Result<()> {
        let end = "UPDATE volguard.services SET heartbeat_at = now() - lease * 2 WHERE service_id =";
        Ok(observer.sql().run(&format!("{end} {}", self.service)).await?)
    }

    /// So long that a cleanup takes it for one that hangs.
    async fn until_it_hangs(&self, observer: &Observer) -> anyhow::Result<()> {
        let idle = format!(
            "SELECT state LIKE 'idle in%' AND state_change < clock_timestamp() - interval '1.1 s'
             FROM pg_stat_activity WHERE pid = {}",
            self.pid
        );
        until("a session that hangs", async || Ok(observer.sql().holds(&idle).await?.then_some(()))).await
    }

    async fn lives(&self, observer: &Observer) -> anyhow::Result<bool> {
        let lives = format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {})", self.pid);
        Ok(observer.sql().holds(&lives).await?)
    }

    async fn until_ended(&self, observer: &Observer) -> anyhow::Result<()> {
        until("the end of the session", async || Ok((!self.lives(observer).await?).then_some(()))).await
    }

    /// Fails if the session gets an end, after a cleanup that must not end it.
    async fn must_live(&self, observer: &Observer, cleanup: &str) -> anyhow::Result<()> {
        self.until_it_hangs(observer).await?;
        observer.sql().run(cleanup).await?;
        // A session that was sent the signal does nothing more: its next statement fails.
        if self.sql.run("SELECT 1").await.is_err() {
            return Err(Violation::Trespass {
                act: cleanup.to_owned(),
                expected: "a session that is left alone".to_owned(),
                got: "its end".to_owned(),
            }
            .into());
        }
        Ok(())
    }
}

async fn events(observer: &Observer) -> anyhow::Result<String> {
    let look = "SELECT string_agg(concat_ws(' ', service_id, role, details ->> 'pid', details ->> 'role', details ->> 'state'), '; ')
                FROM volguard.event_log WHERE kind = 'session_ended'";
    Ok(observer.sql().text(look).await?.unwrap_or_default())
}

/// By `auto_cleanup`, which waits for nothing: its next call fences the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_idles_with_the_lock_of_a_dead_service_is_ended() -> anyhow::Result<()> {
    for aborted in [false, true] {
        let site = Site::new(Route::Direct)?;
        let observer = site.observer().await?;
        let hanging = Hanging::new(&site).await?;
        if aborted {
            // Of a failed transaction that has not been rolled back all locks are gone, but those before a savepoint.
            hanging.sql.run("SAVEPOINT s").await?;
            hanging.sql.run("SELECT 1/0").await.expect_err("division by zero");
        }
        hanging.end_lease_long_ago(&observer).await?;
        let auto = "SELECT count(*) FROM volguard.auto_cleanup() WHERE state <> 'busy'";
        until("an idle session to end", async || {
            assert_eq!(observer.sql().number(auto).await?, Some(0));
            Ok((!events(&observer).await?.is_empty()).then_some(()))
        })
        .await?;
        hanging.until_ended(&observer).await?;
        let state = if aborted { "idle in transaction (aborted)" } else { "idle in transaction" };
        let expected = format!("{} postgres {} manager {state}", hanging.service, hanging.pid);
        assert_eq!(events(&observer).await?, expected);
        assert_eq!(observer.sql().number(auto).await?, Some(1));
        let heir = Waiter::new(&site, "heir").await?;
        assert!(heir.must_acquire().await? > hanging.token);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_cleanup_does_not_wait_for_one_that_hangs() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let hanging = Hanging::new(&site).await?;
    hanging.end_lease_long_ago(&observer).await?;
    hanging.until_it_hangs(&observer).await?;
    let why = "SELECT string_agg(w, ' ') FROM volguard.why('volume', 'v0') AS w";
    let said = observer.sql().text(why).await?.context("sentences")?;
    let session = format!("Session {} of role manager (idle in transaction for", hanging.pid);
    assert!(said.contains(&session) && said.contains("the next cleanup ends it"), "{said}");
    until("the cleanup", async || {
        let cleaned = format!("SELECT locks_released = 1 FROM volguard.cleanup(service_id => {})", hanging.service);
        Ok(observer.sql().holds(&cleaned).await?.then_some(()))
    })
    .await?;
    hanging.until_ended(&observer).await?;
    assert!(events(&observer).await?.contains(" manager idle in transaction"));
    Ok(())
}

/// A lease that has been over for less than another lease; or longer, but the setting says so.
async fn one_that_may_be_late_is_left_alone(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let hanging = Hanging::new(site).await?;
    let cleanup = "SELECT volguard.auto_cleanup()";
    // Alive.
    hanging.must_live(&observer, cleanup).await?;
    observer
        .sql()
        .run(&format!(
            "UPDATE volguard.services SET heartbeat_at = now() - lease * 1.9 WHERE service_id = {}",
            hanging.service
        ))
        .await?;
    hanging.must_live(&observer, cleanup).await?;
    observer
        .sql()
        .run(&format!(
            "UPDATE volguard.services SET heartbeat_at = now() - lease * 20 WHERE service_id = {}",
            hanging.service
        ))
        .await?;
    for setting in ["'1d'", "0"] {
        observer.sql().run(&format!("SET volguard.gate_patience = {setting}")).await?;
        hanging.must_live(&observer, cleanup).await?;
    }
    // Back to life: a heartbeat comes before the cleanup does.
    observer.sql().run("RESET volguard.gate_patience").await?;
    Sql::connect(&site.url()).await?.run(&format!("SELECT volguard.heartbeat({})", hanging.service)).await?;
    hanging.must_live(&observer, cleanup).await?;
    hanging.sql.run("COMMIT").await?;
    assert_eq!(events(&observer).await?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_left_alone_until_its_service_is_dead_for_a_lease() -> anyhow::Result<()> {
    one_that_may_be_late_is_left_alone(&Site::new(Route::Direct)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_patience_it_is_ended() -> anyhow::Result<()> {
    let violation = Violation::expected_in(one_that_may_be_late_is_left_alone(&Site::without("GatePatience")?).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

/// A statement that runs is never ended, however dead the service.
async fn a_statement_goes_on(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let hanging = Hanging::new(site).await?;
    hanging.end_lease_long_ago(&observer).await?;
    let gate = site.observer().await?;
    gate.sql().run("SELECT pg_advisory_lock(4711)").await?;
    let waits = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let (statement, cleaned) = tokio::join!(hanging.sql.run("SELECT pg_advisory_xact_lock(4711)"), async {
        until("a statement that runs", async || Ok(observer.sql().holds(waits).await?.then_some(()))).await?;
        observer.sql().run("SELECT volguard.auto_cleanup()").await?;
        gate.sql().run("SELECT pg_advisory_unlock(4711)").await?;
        anyhow::Ok(())
    });
    cleaned?;
    if let Err(error) = statement {
        let (act, expected) = ("auto_cleanup".to_owned(), "a statement that ends by itself".to_owned());
        return Err(Violation::Trespass { act, expected, got: error.to_string() }.into());
    }
    assert_eq!(events(&observer).await?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_runs_is_never_ended() -> anyhow::Result<()> {
    a_statement_goes_on(&Site::new(Route::Direct)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_look_at_its_state_a_statement_is_ended() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_statement_goes_on(&Site::without("IdleOnly")?).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

/// An operator who looks at what a cleanup has done before the commit is no client that hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_that_is_not_committed_is_left_alone() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let Hanging { sql, pid, service, token } = Hanging::new(&site).await?;
    let hanging = Hanging { sql: site.sql().await?, pid, service, token };
    sql.run("COMMIT").await?;
    hanging.end_lease_long_ago(&observer).await?;
    let hanging = Hanging { pid: hanging.sql.pid().await?, ..hanging };
    hanging.sql.run(&format!("BEGIN; SELECT volguard.cleanup(service_id => {service})")).await?;
    hanging.must_live(&observer, "SELECT volguard.auto_cleanup()").await?;
    hanging.sql.run("COMMIT").await?;
    assert_eq!(events(&observer).await?, "");
    Ok(())
}

/// A cleanup that is left open keeps what it has fenced from all others: it counts as a client that hangs once it has
/// idled for as long as a service may be dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_that_is_left_open_is_ended() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let set = "DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET volguard.gate_patience = 1000', current_database());
    END $$";
    site.psql(set)?;
    let observer = site.observer().await?;
    let Hanging { sql, service, token, .. } = Hanging::new(&site).await?;
    sql.run("COMMIT").await?;
    let open = site.sql().await?;
    let hanging = Hanging { pid: open.pid().await?, sql: open, service, token };
    hanging.end_lease_long_ago(&observer).await?;
    hanging.sql.run(&format!("BEGIN; SELECT volguard.cleanup(service_id => {service})")).await?;
    let janitor = site.sql().await?;
    let fenced = format!("SELECT state = 'fenced' FROM volguard.service_status WHERE service_id = {service}");
    until("an open cleanup to end", async || {
        janitor.run("SELECT volguard.auto_cleanup()").await?;
        Ok((!hanging.lives(&observer).await? && janitor.holds(&fenced).await?).then_some(()))
    })
    .await
}
