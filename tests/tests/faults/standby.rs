//! A transaction that can't write, as on a standby: every verb says so before it looks at anything. A standby shows
//! what was; a token, or a lock that it shows as free, may be another service's by now.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::Profile;
use volguard_tests::scenario::{Route, Site, Sql, Violation, url};

use crate::server::{manager, server};

const LEASE: Duration = Duration::from_secs(60);

/// The functions that neither write nor decide: they compute a value from their arguments, or tell people what there
/// is.
const READERS: [&str; 5] = ["any_of", "none_of", "waiting", "wait_queue", "why"];

/// All others. A new function belongs into one of the two lists.
const VERBS: [&str; 39] = [
    "abandon_cleanup",
    "acquire",
    "acquire_all",
    "assert_held",
    "auto_cleanup",
    "cancel_work",
    "claim_cleanup",
    "cleanup",
    "conditional_update",
    "deregister_service",
    "fence_service",
    "finish_cleanup",
    "finish_work",
    "force_release",
    "grant_monitoring",
    "grant_operator",
    "grant_submit",
    "grant_usage",
    "heartbeat",
    "next_work",
    "on_crash",
    "pass_work",
    "reconcile",
    "register_service",
    "release",
    "release_all",
    "release_requests",
    "remove_cluster",
    "repair",
    "reset_resource",
    "revoke_submit",
    "set_cluster_disabled",
    "set_cluster_owner",
    "set_status",
    "start_work",
    "submit_work",
    "track_resource",
    "untrack_resource",
    "update_service",
];

/// The role of these tests may call every function, also those that its grant leaves out.
const MAY_CALL_ALL: &str = "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA volguard TO manager";

/// A call of each function of the schema with NULL for each argument, by the function's name.
const CALLS: &str = "
    SELECT proname, format(
        CASE prokind WHEN 'p' THEN 'CALL volguard.%I(%s)' ELSE 'SELECT FROM volguard.%I(%s)' END, proname,
        (SELECT string_agg(format('NULL::%s', type::regtype), ', ' ORDER BY place)
         FROM unnest(proargtypes) WITH ORDINALITY AS a (type, place)))
    FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace ORDER BY 1";

/// Calls with arguments of a service that is alive and holds a lock.
fn real_calls(service: i64, token: i64) -> Vec<(String, String)> {
    [
        ("acquire", format!("{service}, 'volume', 'v0'")),
        ("acquire", format!("{service}, 'volume', 'free'")),
        ("acquire", "-1, 'volume', 'free'".to_owned()),
        ("release", token.to_string()),
        ("release", "-1".to_owned()),
        ("release_all", "'{}'".to_owned()),
        ("assert_held", token.to_string()),
        ("heartbeat", service.to_string()),
        ("heartbeat", "-1".to_owned()),
        ("set_status", "-1, NULL".to_owned()),
        ("repair", "'volume', 'v0'".to_owned()),
        ("update_service", format!("{service}, disabled => true")),
        ("conditional_update", format!("'app.volumes', '{{\"id\": \"none\"}}', '{{\"size\": 2}}', fence => {token}")),
        ("start_work", format!("{service}, 'untracked', 'v0', '{{}}'")),
        ("finish_work", "-1, '{}'".to_owned()),
        ("cleanup", String::new()),
        ("auto_cleanup", String::new()),
        ("claim_cleanup", service.to_string()),
    ]
    .map(|(verb, arguments)| (verb.to_owned(), format!("SELECT FROM volguard.{verb}({arguments})")))
    .into()
}

/// A lock that is held.
async fn hold(sql: &Sql) -> anyhow::Result<(i64, i64)> {
    let service = sql.register("a", LEASE).await?;
    let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    Ok((service, token))
}

/// Each verb is refused, each view can be read. `begin` is said before each call.
async fn every_verb_refuses(sql: &Sql, begin: &str, service: i64, token: i64) -> anyhow::Result<()> {
    let mut calls = Vec::new();
    for row in sql.rows(CALLS).await? {
        let [Some(name), Some(call)] = &row[..] else { anyhow::bail!("a function without a name: {row:?}") };
        match &**name {
            name if VERBS.contains(&name) => calls.push((name.to_owned(), call.clone())),
            // A procedure that calls the verb.
            "run_cleanup" => calls.push(("cleanup".to_owned(), call.clone())),
            name => assert!(READERS.contains(&name), "does {name} write or decide? No list says so"),
        }
    }
    assert!(calls.len() >= VERBS.len(), "a verb of the list is gone: {calls:?}");
    for (verb, call) in calls.into_iter().chain(real_calls(service, token)) {
        sql.run(begin).await?;
        let got = match sql.run(&call).await {
            Ok(()) => "an answer".to_owned(),
            Err(error) => {
                let report = error.as_db_error().context("an error of the server")?;
                let (state, hint) = (report.code().code(), report.hint().unwrap_or_default());
                let named = report.message().contains(&format!("cannot execute volguard.{verb}() "));
                match state == "25006" && hint.contains("target_session_attrs=read-write") && named {
                    true => "25006".to_owned(),
                    false => format!("{state}: {}, {hint}", report.message()),
                }
            }
        };
        sql.run("ROLLBACK").await?;
        if got != "25006" {
            return Err(Violation::Trespass { act: call, expected: "25006".to_owned(), got }.into());
        }
    }
    sql.run(begin).await?;
    for view in [
        "lock_status",
        "service_status",
        "cluster_status",
        "waiters",
        "event_log",
        "tracked_resources",
        "crash_rule_status",
    ] {
        sql.run(&format!("SELECT * FROM volguard.{view}")).await?;
    }
    let why = sql.text("SELECT string_agg(w, ' ') FROM volguard.why('volume', 'v0') AS w").await?;
    assert!(why.is_some_and(|why| why.contains(&token.to_string())), "why knows the holder");
    assert!(sql.holds(&format!("SELECT volguard.any_of(token, {token}) FROM volguard.lock_status")).await?);
    sql.run("ROLLBACK").await?;
    Ok(())
}

#[tokio::test]
async fn on_a_standby_every_verb_says_so() -> anyhow::Result<()> {
    let mut server = server(Profile::Debug)?;
    server.psql(MAY_CALL_ALL)?;
    let (service, token) = hold(&Sql::connect(&manager(&server)).await?).await?;
    server.stand_by()?;
    assert_eq!(server.psql("SELECT pg_is_in_recovery()")?.trim(), "t");
    let sql = Sql::connect(&url("manager", server.port(), "volguard")).await?;
    every_verb_refuses(&sql, "BEGIN", service, token).await
}

async fn read_only_transactions(site: &Site) -> anyhow::Result<()> {
    site.psql(MAY_CALL_ALL)?;
    let sql = site.sql().await?;
    let (service, token) = hold(&sql).await?;
    every_verb_refuses(&sql, "BEGIN READ ONLY", service, token).await?;
    every_verb_refuses(&sql, "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", service, token).await?;
    sql.run("SET default_transaction_read_only = on").await?;
    every_verb_refuses(&sql, "BEGIN", service, token).await?;
    // The transaction may still say otherwise.
    sql.run("BEGIN READ WRITE").await?;
    assert!(sql.release(token).await?);
    sql.run("COMMIT").await?;
    Ok(())
}

#[tokio::test]
async fn in_a_read_only_transaction_every_verb_says_so() -> anyhow::Result<()> {
    read_only_transactions(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_check_verbs_answer_in_a_read_only_transaction() -> anyhow::Result<()> {
    let violation = Violation::expected_in(read_only_transactions(&Site::without("MayWrite")?).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}
