//! No verb leaves a trace in its session: after each, however it ends, settings, locks and the state of the transaction
//! are as before. Also where a user's trigger changes settings meanwhile, and where the extension itself panics.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use tokio_postgres::NoTls;
use volguard_tests::scenario::{Observer, Route, Site, Sql, Violation, sqlstate};

const LEASE: Duration = Duration::from_secs(300);

/// A tracked table whose triggers change the settings that volguard changes for its own purposes.
const TRIGGERS: &str = "
    INSERT INTO app.volumes (id, status) SELECT 'v' || n, 'available' FROM generate_series(0, 9) AS n;
    CREATE FUNCTION app.sets() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        SET LOCAL lock_timeout = '4 s';
        SET LOCAL enable_seqscan = on;
        SET LOCAL client_connection_check_interval = '9 s';
        PERFORM set_config('search_path', 'app', true);
        IF NEW.size = 13 THEN
            RAISE EXCEPTION 'thirteen';
        ELSIF NEW.size = 14 THEN
            PERFORM pg_sleep(120);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER sets BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.sets();
    GRANT SELECT ON ALL TABLES IN SCHEMA volguard TO manager;";

/// The settings that volguard changes for its own purposes.
const OURS: [&str; 5] = ["lock_timeout", "enable_seqscan", "jit", "client_connection_check_interval", "search_path"];
const OF_THE_TRIGGER: [&str; 4] =
    ["lock_timeout = 4000 ", "enable_seqscan = on ", "client_connection_check_interval = 9000 ", "search_path = app "];

/// What a call may do with names of rows: `{s}` a service, `{o}` another one, `{t}` a token of the first on `v0`.
const CALLS: [&str; 73] = [
    "register_service('x', 'test')",
    "register_service(NULL, 'test')",
    "heartbeat({s})",
    "heartbeat(-1)",
    "deregister_service({s})",
    "deregister_service(-1)",
    "set_cluster_disabled('default', true, 'why')",
    "set_cluster_disabled('nowhere', true)",
    "register_service('x', 'test', 'named')",
    "set_cluster_owner('nowhere', 'manager')",
    "set_cluster_owner('nowhere', 'nobody at all')",
    "remove_cluster('nowhere')",
    "fence_service({s}, 'why')",
    "acquire({s}, 'volume', 'free')",
    "acquire({s}, 'volume', 'free', wait => '1 s')",
    "acquire({o}, 'volume', 'v0')",
    "acquire({o}, 'volume', 'v0', wait => '30 ms')",
    "acquire(-1, 'volume', 'v0')",
    "acquire({s}, 'volume', 'crashed')",
    "acquire({s}, 'volume', 'crashed-work', wait => '30 ms')",
    r#"acquire_all({s}, '[{"resource_type": "volume", "resource_id": "free"}]')"#,
    r#"acquire_all({o}, '[{"resource_type": "volume", "resource_id": "v0"}]', wait => '30 ms')"#,
    "acquire_all({s}, '[]')",
    "release({t})",
    "release(-1)",
    "release_all('{{t}}')",
    "release_all('{-1}')",
    "assert_held({t})",
    "assert_held(-1)",
    "set_status({t}, 'busy')",
    "set_status({t}, 'busy', expected => 'idle')",
    "update_service({s}, '{}', true, 'why')",
    "update_service(-1, '{}')",
    "set_status(-1, 'busy')",
    "reconcile({s}, '{}')",
    "release_requests({s}, '{}')",
    "force_release({t}, 'why')",
    "reset_resource('volume', 'v0')",
    r#"conditional_update('app.volumes', '{"id": "v1"}', '{"size": 2}', fence => {t})"#,
    r#"conditional_update('app.volumes', '{"id": "v1"}', '{"size": 2}', '{"size": 77}')"#,
    r#"conditional_update('app.volumes', '{"id": "v1"}', '{"size": 13}')"#,
    r#"start_work({s}, 'volume', 'v2', '{"status": "extending"}')"#,
    r#"start_work({s}, 'volume', 'v2', '{"status": "extending"}', wait => '5 s')"#,
    r#"start_work({s}, 'volume', 'v2', '{"status": "extending"}', '{"size": 77}', wait => '5 s')"#,
    r#"start_work({s}, 'volume', 'v2', '{"size": 13}', wait => '5 s')"#,
    r#"start_work({o}, 'volume', 'v0', '{"status": "extending"}', wait => '30 ms')"#,
    r#"finish_work({t}, '{"status": "available"}')"#,
    r#"finish_work({t}, '{"size": 13}')"#,
    r#"submit_work('default', 'volume', 'v3', '{"status": "extending"}', request_id => gen_random_uuid())"#,
    r#"submit_work('default', 'volume', 'v0', '{"status": "extending"}', request_id => gen_random_uuid())"#,
    r#"submit_work('default', 'volume', 'v4', '{"size": 13}')"#,
    "next_work({s})",
    "next_work({s}, operations => '{none}', wait => '30 ms')",
    "next_work(-1)",
    r#"cancel_work(-1, '{"status": "available"}')"#,
    "pass_work({t}, 'next')",
    "grant_submit('nowhere', 'manager')",
    "revoke_submit('nowhere', 'manager')",
    "track_resource('other', 'app.ledger', 'key', 'owner')",
    r#"on_crash('volume', 'deleting', '{"status": "error"}')"#,
    "untrack_resource('other')",
    "cleanup()",
    "auto_cleanup()",
    "claim_cleanup({s})",
    "claim_cleanup({s}, 2, 'volume', resource_id => 'crashed-work', host => 'a', until => now())",
    "repair('volume', 'v0')",
    "repair('volume', 'free')",
    "repair('volume', 'crashed-work')",
    "finish_cleanup({t})",
    "abandon_cleanup(-1)",
    "waiting()",
    "why('volume', 'v0')",
    "force_release('volume', 'v0', '', 'why')",
];

/// Grants, which need more rights than the role of these calls has, and a procedure, which commits.
const FOR_OTHERS: [&str; 4] = ["grant_usage", "grant_operator", "grant_monitoring", "run_cleanup"];

/// What is in a session: its settings, and what its transaction has.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    settings: BTreeSet<String>,
    locks: String,
    state: String,
}

impl Session {
    async fn of(sql: &Sql, pid: i64, observer: &Observer) -> anyhow::Result<Self> {
        // First, since the answer comes when the end of the statement before is complete.
        let settings = sql.rows("SELECT concat(name, ' = ', setting, ' by ', source) FROM pg_settings").await;
        let settings = settings.map_err(|error| Violation::LeftBehind(format!("a session that fails: {error:?}")))?;
        // A transaction that has written once keeps its number, and its look at the settings a lock on a view. Postgres
        // keeps the lock on a sequence until the transaction ends, also that of a savepoint that is rolled back.
        let locks = format!(
            "SELECT string_agg(concat_ws(' ', locktype, mode, relation::regclass, objsubid), ', ')
             FROM pg_locks AS l LEFT JOIN pg_class AS c ON c.oid = l.relation
             WHERE pid = {pid}
               AND (locktype NOT IN ('virtualxid', 'transactionid', 'relation')
                    OR c.relnamespace IN ('volguard'::regnamespace, 'app'::regnamespace) AND relkind <> 'S')"
        );
        let state = format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}");
        Ok(Self {
            settings: settings.into_iter().flatten().flatten().collect(),
            locks: observer.sql().text(&locks).await?.unwrap_or_default(),
            state: observer.sql().text(&state).await?.context("the session")?,
        })
    }

    fn must_be(&self, before: &Self, call: &str) -> anyhow::Result<()> {
        if self == before {
            return Ok(());
        }
        let settings: Vec<_> = self.settings.symmetric_difference(&before.settings).collect();
        let left = format!("{call}: {settings:?}, locks: {}; {}", self.locks, self.state);
        Err(Violation::LeftBehind(left).into())
    }
}

/// A connection and what the calls name.
struct Stage {
    sql: Sql,
    pid: i64,
    observer: Observer,
    services: [i64; 2],
    token: i64,
}

impl Stage {
    async fn new(site: &Site, sql: Sql) -> anyhow::Result<Self> {
        site.psql(TRIGGERS)?;
        let (observer, pid) = (site.observer().await?, sql.pid().await?);
        // The language brings settings of its own into the session.
        sql.run("DO 'BEGIN END'").await?;
        sql.run("SELECT volguard.track_resource('volume', 'app.volumes')").await?;
        sql.run(r#"SELECT volguard.on_crash('volume', 'creating', '{"status": "error", "size": 3}')"#).await?;
        let services = [sql.register("a", LEASE).await?, sql.register("b", LEASE).await?];
        let dead = sql.register("dead", LEASE).await?;
        sql.acquire(dead, "crashed", Duration::ZERO).await?.context("free")?;
        sql.run(&format!("SELECT volguard.acquire({dead}, 'volume', 'crashed-work', status => 'unknown')")).await?;
        sql.run(&format!("SELECT volguard.acquire({dead}, 'volume', 'v9', status => 'creating')")).await?;
        observer.end_lease(dead).await?;
        let token = sql.acquire(services[0], "v0", Duration::ZERO).await?.context("free")?;
        Ok(Self { sql, pid, observer, services, token })
    }

    fn call(&self, template: &str) -> String {
        let call = template.replace("{s}", &self.services[0].to_string()).replace("{o}", &self.services[1].to_string());
        format!("SELECT FROM volguard.{}", call.replace("{t}", &self.token.to_string()))
    }

    async fn session(&self) -> anyhow::Result<Session> {
        Session::of(&self.sql, self.pid, &self.observer).await
    }

    /// Alone, and what it did is undone: in a transaction, in a savepoint, and with the transaction's end.
    async fn leaves_nothing(&self, template: &str) -> anyhow::Result<()> {
        let call = self.call(template);
        let idle = self.session().await?;
        self.sql.run("BEGIN").await?;
        let before = self.session().await?;
        self.sql.run("SAVEPOINT s").await?;
        if self.sql.run(&call).await.is_ok() {
            // What a trigger has set for its transaction may stay, but nothing that the verb has set.
            let meanwhile = self.session().await?;
            let ours = |it: &&String| OURS.iter().any(|name| it.starts_with(&format!("{name} = ")));
            let set = meanwhile.settings.difference(&before.settings).filter(ours);
            let mut set = set.filter(|it| !OF_THE_TRIGGER.iter().any(|by_trigger| it.starts_with(by_trigger)));
            if let Some(setting) = set.next() {
                return Err(Violation::LeftBehind(format!("{call}: {setting}")).into());
            }
        }
        self.sql.run("ROLLBACK TO SAVEPOINT s").await?;
        self.session().await?.must_be(&before, &call)?;
        self.sql.run("ROLLBACK").await?;
        self.session().await?.must_be(&idle, &call)
    }
}

async fn no_traces(site: &Site) -> anyhow::Result<()> {
    let stage = Stage::new(site, site.sql().await?).await?;
    for template in CALLS {
        stage.leaves_nothing(template).await?;
    }
    // Once more, each with its commit. What it did stays, in the tables alone.
    let idle = stage.session().await?;
    for template in CALLS {
        let call = stage.call(template);
        let _ = stage.sql.run(&call).await;
        stage.session().await?.must_be(&idle, &call)?;
    }
    Ok(())
}

#[tokio::test]
async fn no_verb_leaves_a_trace_in_its_session() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let names = site.psql(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace AND provolatile = 'v' ORDER BY 1",
    )?;
    for name in names.lines() {
        let called = CALLS.iter().any(|call| call.starts_with(&format!("{name}(")));
        assert!(called || FOR_OTHERS.contains(&name), "{name} is not among the calls");
    }
    no_traces(&site).await
}

#[tokio::test]
async fn settings_that_are_not_put_back_are_noticed() -> anyhow::Result<()> {
    let violation = Violation::expected_in(no_traces(&Site::without("Overrides")?).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// Ends by a cancel, by timeouts, and by a failing trigger, while the call waits or runs a user's trigger.
#[tokio::test]
async fn a_call_that_is_cut_leaves_no_trace() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let stage = Stage::new(&site, site.sql().await?).await?;
    let acquire = "acquire({o}, 'volume', 'v0', wait => '100 s')";
    let asleep = r#"start_work({s}, 'volume', 'v2', '{"size": 14, "status": "busy"}', wait => '100 s')"#;
    for (setting, state) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
        for template in [acquire, asleep] {
            if (setting, template) == ("lock_timeout", asleep) {
                continue;
            }
            // The look at the session is much quicker, also where the machine is busy.
            stage.sql.run(&format!("SET {setting} = '2 s'")).await?;
            let (before, call) = (stage.session().await?, stage.call(template));
            let ended = stage.sql.run(&call).await.expect_err("it is cut");
            assert_eq!(sqlstate(&ended), state, "{call}: {ended:?}");
            stage.session().await?.must_be(&before, &call)?;
            stage.sql.run(&format!("RESET {setting}")).await?;
        }
    }
    let before = stage.session().await?;
    for template in [acquire, asleep] {
        let (cancel, call) = (stage.sql.cancel_token(), stage.call(template));
        let running = stage.sql.run(&call);
        let cancelled = async {
            let waits = format!(
                "SELECT wait_event IS NOT NULL AND state = 'active' FROM pg_stat_activity WHERE pid = {}",
                stage.pid
            );
            volguard_tests::scenario::until("a call that sleeps", async || {
                Ok(stage.observer.sql().holds(&waits).await?.then_some(()))
            })
            .await?;
            cancel.cancel_query(NoTls).await.context("the cancel request")
        };
        let (ended, cancelled) = tokio::join!(running, cancelled);
        cancelled?;
        assert_eq!(ended.map_err(|error| sqlstate(&error)), Err("57014".to_owned()));
        stage.session().await?.must_be(&before, &call)?;
    }
    Ok(())
}

/// Two waiters, so that one of them is behind the head: the error of a wait that `lock_timeout` cuts has a hint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_lock_timeout_cuts_says_so() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let stage = Stage::new(&site, site.sql().await?).await?;
    let call = stage.call("acquire({o}, 'volume', 'v0', wait => '100 s')");
    let head = site.sql().await?;
    let waiting = {
        let call = call.clone();
        tokio::spawn(async move { head.run(&call).await })
    };
    stage.observer.until_asleep(1).await?;
    stage.sql.run("SET lock_timeout = '100 ms'").await?;
    let ended = stage.sql.run(&call).await.expect_err("it is cut");
    let report = ended.as_db_error().context("an error of the server")?;
    assert_eq!(report.code().code(), "55P03");
    assert!(report.hint().is_some_and(|hint| hint.contains("lock_timeout")), "{report:?}");
    stage.sql.release(stage.token).await?;
    waiting.await??;
    Ok(())
}

/// Calls that need a subtransaction, in which a test build panics.
async fn panics(guards: &str) -> anyhow::Result<()> {
    let site = Site::without(guards)?;
    let stage = Stage::new(&site, site.sql().await?).await?;
    let before = stage.session().await?;
    for template in [
        r#"start_work({s}, 'volume', 'v2', '{"status": "extending"}')"#,
        r#"finish_work({t}, '{"status": "available"}')"#,
        "acquire({s}, 'volume', 'crashed')",
        "auto_cleanup()",
    ] {
        let call = stage.call(template);
        let error = stage.sql.run(&call).await.expect_err("a panic is an error");
        let report = error.as_db_error().context("an error of the server")?;
        assert_eq!(report.message(), "a panic for a test", "{call}");
        stage.session().await?.must_be(&before, &call)?;
        // Also within a transaction that goes on.
        stage.sql.run("BEGIN; SAVEPOINT s").await?;
        stage.sql.run(&call).await.expect_err("a panic is an error");
        let back = stage.sql.run("ROLLBACK TO SAVEPOINT s").await;
        back.map_err(|error| Violation::LeftBehind(format!("{call}: {error:?}")))?;
        stage.sql.run("ROLLBACK").await?;
        stage.session().await?.must_be(&before, &call)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_ends_the_call_and_nothing_else() -> anyhow::Result<()> {
    panics("NoPanic").await
}

#[tokio::test]
async fn a_panic_that_leaves_its_subtransaction_open_is_noticed() -> anyhow::Result<()> {
    let violation = Violation::expected_in(panics("NoPanic,PanicEndsSubtransaction").await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}
