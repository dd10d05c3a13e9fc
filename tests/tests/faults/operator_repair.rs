//! An operator has work repaired whose service lives: it is taken from its holder and changed by the rule, both or
//! neither, whichever process ends on the way.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use volguard_tests::scenario::{Observer, Route, Site, Sql, sqlstate, until};

use crate::dead::answers;

const LONG: Duration = Duration::from_secs(60);

by_both_routes!(what_an_operator_repairs_is_free_for_the_next);

const RULE: &str = r#"
    INSERT INTO app.volumes (id, status) VALUES ('v0', 'extending');
    SELECT volguard.track_resource('volume', 'app.volumes');
    SELECT volguard.on_crash('volume', 'extending', '{"status": "error"}');"#;

const REPAIR: &str = "SELECT volguard.repair('volume', 'v0')";

/// A service that lives, with work on the volume.
struct Holder {
    sql: Sql,
    service: i64,
    token: i64,
}

impl Holder {
    async fn new(site: &Site) -> anyhow::Result<Self> {
        let sql = site.sql().await?;
        sql.run(RULE).await?;
        let service = sql.register("holder", LONG).await?;
        let acquire = format!("SELECT volguard.acquire({service}, 'volume', 'v0', status => 'extending')");
        let token = sql.number(&acquire).await?.context("free")?;
        Ok(Self { sql, service, token })
    }

    async fn holds(&self) -> anyhow::Result<()> {
        Ok(self.sql.run(&format!("SELECT volguard.assert_held({})", self.token)).await?)
    }
}

/// The waiter is woken by the process, which commits. What the holder had is gone, and it goes on with the rest.
async fn what_an_operator_repairs_is_free_for_the_next(site: &Site) -> anyhow::Result<()> {
    let (holder, observer) = (Holder::new(site).await?, site.observer().await?);
    let next = site.sql().await?;
    let service = next.register("next", LONG).await?;
    let waiting = tokio::spawn(async move { next.acquire(service, "v0", LONG).await });
    observer.until_asleep(1).await?;
    answers(&site.sql().await?, REPAIR, "cleaned").await?;
    let token = waiting.await??.context("in time")?;
    assert!(token > holder.token, "{token} after {}", holder.token);

    let Holder { sql, service, token } = &holder;
    let update = format!(
        r#"(volguard.conditional_update('app.volumes', '{{"id": "v0"}}', '{{"size": 7}}', fence => {token})).outcome"#
    );
    for (call, expected) in [
        (format!("volguard.assert_held({token})"), "VG002"),
        (format!("volguard.set_status({token}, 'late')"), "VG002"),
        (format!(r#"(volguard.finish_work({token}, '{{"status": "available"}}')).outcome"#), "fenced"),
        (update, "fenced"),
        (format!("volguard.release({token})"), "f"),
        (format!("volguard.heartbeat({service}) > '0'"), "t"),
        (format!("volguard.acquire({service}, 'volume', 'another') > {token}"), "t"),
    ] {
        answers(sql, &format!("SELECT {call}"), expected).await?;
    }
    Ok(())
}

/// The rule ends when `app.gate` has a row.
const GATE: &str = "
    CREATE TABLE app.gate (open boolean);
    CREATE FUNCTION app.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        WHILE NOT EXISTS (SELECT FROM app.gate) LOOP
            PERFORM pg_catalog.pg_sleep(0.01);
        END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER wait_at_gate BEFORE UPDATE ON app.volumes FOR EACH ROW EXECUTE FUNCTION app.wait_at_gate();";

/// A repair whose rule is running.
struct Running {
    operator: i64,
    process: i64,
    answer: JoinHandle<Result<Option<String>, tokio_postgres::Error>>,
}

impl Running {
    async fn new(site: &Site, observer: &Observer) -> anyhow::Result<Self> {
        let sql = site.sql().await?;
        let operator = sql.pid().await?;
        let answer = tokio::spawn(async move { sql.text(REPAIR).await });
        let look = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'
                    AND backend_type = 'volguard repair worker' AND datname = current_database()";
        let process = until("a rule that waits", async || Ok(observer.sql().number(look).await?)).await?;
        Ok(Self { operator, process, answer })
    }
}

async fn end(observer: &Observer, pid: i64) -> anyhow::Result<()> {
    let ended = observer.sql().holds(&format!("SELECT pg_terminate_backend({pid}, 60000)")).await?;
    anyhow::ensure!(ended, "process {pid} has not ended");
    Ok(())
}

/// What is committed of the work, the volume and the events, at one time.
const STATE: &str =
    "SELECT concat_ws(' ', (SELECT count(*) FROM volguard.lock_status), (SELECT status FROM app.volumes),
    (SELECT count(*) FROM volguard.event_log WHERE kind = 'repaired'))";

async fn gated() -> anyhow::Result<(Site, Holder, Observer)> {
    let site = Site::new(Route::Direct)?;
    site.psql(&format!("ALTER DATABASE \"{}\" SET volguard.rule_timeout = '10 min'", site.database()))?;
    let (holder, observer) = (Holder::new(&site).await?, site.observer().await?);
    holder.sql.run(GATE).await?;
    Ok((site, holder, observer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_is_whole_though_the_operators_session_ends() -> anyhow::Result<()> {
    let (site, holder, observer) = gated().await?;
    let running = Running::new(&site, &observer).await?;
    assert_eq!(observer.sql().text(STATE).await?.as_deref(), Some("1 extending 0"));
    end(&observer, running.operator).await?;
    assert!(running.answer.await?.is_err(), "an answer of a session that was ended");
    assert_eq!(observer.sql().text(STATE).await?.as_deref(), Some("1 extending 0"));
    holder.sql.run("INSERT INTO app.gate VALUES (true)").await?;
    let state = until("the end of the rule", async || {
        let state = observer.sql().text(STATE).await?;
        Ok(state.filter(|state| state != "1 extending 0"))
    })
    .await?;
    assert_eq!(state, "0 error 1");
    assert_eq!(holder.holds().await.err().context("not held")?.downcast_ref().map(sqlstate).as_deref(), Some("VG002"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_whose_process_ends_leaves_the_work_to_its_holder() -> anyhow::Result<()> {
    let (site, holder, observer) = gated().await?;
    let running = Running::new(&site, &observer).await?;
    end(&observer, running.process).await?;
    let refused = running.answer.await?.err().context("not repaired")?;
    assert_eq!(sqlstate(&refused), "55000", "{refused:?}");
    assert_eq!(observer.sql().text(STATE).await?.as_deref(), Some("1 extending 0"));
    holder.holds().await?;
    let noted = "SELECT count(awaiting_reason) + count(retry_at) FROM volguard.lock_status";
    assert_eq!(observer.sql().number(noted).await?, Some(0));
    holder.sql.run("INSERT INTO app.gate VALUES (true)").await?;
    answers(&site.sql().await?, REPAIR, "cleaned").await
}
