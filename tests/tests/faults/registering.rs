//! Registering while a transaction that is left open stands in the way.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Route, Site, Sql, Violation};

const LEASE: Duration = Duration::from_secs(60);

/// What a transaction does that is left open, and what then can't be done at once.
const CASES: [(&str, &str); 10] = [
    ("SELECT volguard.assert_held({token})", "volguard.register_service('a', 'test')"),
    ("SELECT volguard.assert_held({token})", "volguard.register_service('a', 'test', 'another cluster')"),
    ("SELECT volguard.assert_held({token})", "volguard.fence_service({service}, 'why')"),
    ("SELECT volguard.assert_held({token})", "volguard.deregister_service({service})"),
    ("SELECT volguard.heartbeat({service})", "volguard.deregister_service({service})"),
    ("SELECT volguard.heartbeat({service})", "volguard.register_service('a', 'test')"),
    ("SELECT volguard.heartbeat({service})", "volguard.fence_service({service}, 'why')"),
    ("SELECT volguard.heartbeat({service})", "volguard.set_cluster_owner('named', 'stranger')"),
    ("SELECT volguard.register_service('new', 'test')", "volguard.register_service('new', 'test')"),
    ("SELECT volguard.register_service('new', 'test', 'new')", "volguard.register_service('other', 'test', 'new')"),
];

/// The call waits for some seconds, and then says which process is in the way. It has written nothing.
async fn a_registration_says_what_is_in_its_way(site: &Site, limit: Duration) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let register = "SELECT volguard.register_service('a', 'test', 'named', lease => '1 min')";
    let service = sql.number(register).await?.context("an id")?;
    let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let (service, token) = (service.to_string(), token.to_string());
    let named = |text: &str| text.replace("{service}", &service).replace("{token}", &token);
    for (open, call) in CASES {
        let call = named(call);
        let left_open = site.sql().await?;
        left_open.run(&format!("BEGIN; {}", named(open))).await?;
        let pid = left_open.pid().await?;
        let caller = site.sql().await?;
        caller.run(&format!("SET statement_timeout = '{} s'", limit.as_secs())).await?;
        let refused = caller.run(&format!("SELECT {call}")).await;
        let refused = refused.err().with_context(|| format!("{call}: not refused"))?;
        let report = refused.as_db_error().context("of the server")?;
        if report.code().code() != "55P03" {
            return Err(Violation::Waiting("a registration, for a transaction that was left open").into());
        }
        let detail = report.detail().unwrap_or_default();
        assert_eq!(detail, format!("It is held by process {pid}."), "{call}: {report}");
        assert!(report.hint().is_some_and(|hint| hint.contains("pg_terminate_backend")), "{report:?}");
        // As soon as it has ended, the call succeeds.
        left_open.run("ROLLBACK").await?;
        caller.run(&format!("BEGIN; SELECT {call}; ROLLBACK")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_registration_waits_for_some_seconds_and_says_for_what() -> anyhow::Result<()> {
    a_registration_says_what_is_in_its_way(&Site::new(Route::Direct)?, Duration::from_secs(300)).await
}

#[tokio::test]
async fn without_patience_a_registration_waits_on() -> anyhow::Result<()> {
    let site = Site::without("RegisterPatience")?;
    let violation = Violation::expected_in(a_registration_says_what_is_in_its_way(&site, Duration::from_secs(8)).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

/// A prepared transaction has no process.
#[tokio::test]
async fn a_prepared_transaction_in_the_way_is_named() -> anyhow::Result<()> {
    let mut server =
        volguard_tests::PrivateServer::builder().durable(false).setting("max_prepared_transactions", "2").start()?;
    volguard_tests::scenario::furnish(&server)?;
    let sql = Sql::connect(&volguard_tests::scenario::url("manager", server.port(), "volguard")).await?;
    sql.register("a", LEASE).await?;
    sql.run("BEGIN; SELECT volguard.register_service('b', 'test'); PREPARE TRANSACTION 'b'").await?;
    let refused = sql.run("SELECT volguard.register_service('b', 'test')").await.expect_err("in the way");
    let report = refused.as_db_error().context("of the server")?;
    assert_eq!((report.code().code(), report.detail()), ("55P03", Some("It is held by a prepared transaction.")));
    sql.run("ROLLBACK PREPARED 'b'").await?;
    sql.register("b", LEASE).await?;
    server.stop()?;
    Ok(())
}
