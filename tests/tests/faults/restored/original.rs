//! A database with a past, and what must be true of the database that replaces it.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Sql, furnish, url};
use volguard_tests::{PrivateServer, Profile};

use crate::server::growing;

pub const LONG_LEASE: Duration = Duration::from_secs(60 * 60);

/// All data that a dump has to carry, as text.
pub const STATE: &str = "
    SELECT 'cluster', c::text FROM volguard.clusters AS c UNION ALL
    SELECT 'service', s::text FROM volguard.services AS s UNION ALL
    SELECT 'worker', w::text FROM volguard.workers AS w UNION ALL
    SELECT 'request', r::text FROM volguard.ended_requests AS r UNION ALL
    SELECT 'submitter', s::text FROM volguard.submitters AS s UNION ALL
    SELECT 'resource', r::text FROM volguard.resources AS r UNION ALL
    SELECT 'rule', r::text FROM volguard.crash_rules AS r UNION ALL
    SELECT 'event', e::text FROM volguard.events AS e ORDER BY 1, 2";

/// The numbers that have been drawn so far.
pub struct Drawn {
    pub tokens: Vec<i64>,
    services: Vec<i64>,
}

/// A database with a past, which is dumped or upgraded in the middle of its use.
pub struct Original {
    pub server: PrivateServer,
    /// It lives on in the restored database, with the lock `held`.
    pub alive: i64,
    held: i64,
    /// It has died while it was extending the volume `v0`.
    crashed: i64,
    submitted: Submitted,
    pub drawn: Drawn,
}

/// Submitted work in the cluster `pool`.
struct Submitted {
    /// The number of what waits, on the volume `v1`.
    waiting: i64,
    /// The token of what a service has that lives on, on `v2`.
    token: i64,
    /// The number of what has ended, on `v3`.
    ended: i64,
}

/// Under a request id of its own; repeated, it gets the same answer.
fn submit(volume: &str) -> String {
    format!(
        r#"SELECT token FROM volguard.submit_work('pool', 'volume', '{volume}', '{{"status": "deleting"}}', operation => '{volume}',
               request_id => md5('{volume}')::uuid)"#
    )
}

fn end(verb: &str, number: i64) -> String {
    format!(r#"SELECT outcome FROM volguard.{verb}({number}, '{{"status": "deleted"}}')"#)
}

impl Submitted {
    async fn new(sql: &Sql, drawn: &mut Drawn) -> anyhow::Result<Self> {
        sql.run("INSERT INTO app.volumes (id, status) SELECT 'v' || n, 'available' FROM generate_series(1, 3) AS n")
            .await?;
        let register = "SELECT volguard.register_service('taker', 'test', 'pool', lease => '1 h')";
        let taker = sql.number(register).await?.context("an id")?;
        drawn.services.push(taker);
        sql.run("SELECT volguard.grant_submit('pool', 'stranger')").await?;
        let mut numbers = Vec::new();
        for volume in ["v1", "v2", "v3"] {
            numbers.push(sql.number(&submit(volume)).await?.context("submitted")?);
        }
        let take = format!("SELECT token FROM volguard.next_work({taker}, operations => '{{v2}}')");
        let token = sql.number(&take).await?.context("work")?;
        assert_eq!(sql.text(&end("cancel_work", numbers[2])).await?.as_deref(), Some("updated"));
        drawn.tokens.extend(&numbers);
        drawn.tokens.push(token);
        Ok(Self { waiting: numbers[0], token, ended: numbers[2] })
    }

    /// What waits is taken under its number; what was taken is held; what was submitted is not submitted again.
    async fn goes_on(&self, sql: &Sql, drawn: &Drawn) -> anyhow::Result<()> {
        for (volume, number) in [("v1", self.waiting), ("v3", self.ended)] {
            assert_eq!(sql.number(&submit(volume)).await?, Some(number), "{volume} was submitted before");
        }
        assert_eq!(sql.text(&end("finish_work", self.waiting)).await?.as_deref(), Some("fenced"), "it waits");
        let register = "SELECT volguard.register_service('heir', 'test', 'pool', lease => '1 h')";
        let heir = sql.number(register).await?.context("an id")?;
        let rows = sql.rows(&format!("SELECT token, work_id FROM volguard.next_work({heir}, 10)")).await?;
        let numbers: Vec<i64> =
            rows.into_iter().flatten().flatten().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let [token, work] = numbers[..] else { anyhow::bail!("one piece waits, not {numbers:?}") };
        assert_eq!(work, self.waiting);
        growing(&drawn.tokens, &[token])?;
        for token in [token, self.token] {
            assert_eq!(sql.text(&end("finish_work", token)).await?.as_deref(), Some("updated"));
        }
        let done = "SELECT count(*) FROM app.volumes WHERE status = 'deleted'";
        assert_eq!(sql.number(done).await?, Some(3));
        assert_eq!(sql.number(&submit("v1")).await?, Some(self.waiting), "it has ended");
        Ok(())
    }
}

pub fn server(profile: Profile) -> anyhow::Result<PrivateServer> {
    Ok(PrivateServer::builder().profile(profile).durable(false).start()?)
}

pub async fn manager(server: &PrivateServer, database: &str) -> anyhow::Result<Sql> {
    Ok(Sql::connect(&url("manager", server.port(), database)).await?)
}

pub async fn take(sql: &Sql, service: i64, key: &str) -> anyhow::Result<i64> {
    let token = sql.acquire(service, key, Duration::ZERO).await?;
    token.with_context(|| format!("{key} is free"))
}

impl Original {
    pub async fn new() -> anyhow::Result<Self> {
        let server = server(Profile::Debug)?;
        // The oids of roles and tables must differ where it is restored.
        server.psql("CREATE ROLE filler")?;
        furnish(&server)?;
        let sql = manager(&server, "volguard").await?;
        let alive = sql.register("alive", LONG_LEASE).await?;
        let crashed = sql.register("crashed", LONG_LEASE).await?;
        sql.run(
            r#"INSERT INTO app.volumes VALUES ('v0', 'extending', 1);
               SELECT volguard.track_resource('volume', 'app.volumes');
               SELECT volguard.on_crash('volume', 'extending', '{"status": "error", "size": {"add": [{"column": "size"}, 1]}}');
               SELECT volguard.set_cluster_disabled('default', true, 'it moves')"#,
        )
        .await?;
        let held = take(&sql, alive, "held").await?;
        let work =
            sql.number(&format!("SELECT volguard.acquire({crashed}, 'volume', 'v0', status => 'extending')")).await?;
        let forced = take(&sql, alive, "forced").await?;
        sql.run(&format!("SELECT volguard.force_release({forced}, 'test')")).await?;
        server.psql(&format!(
            "UPDATE volguard.services SET heartbeat_at = heartbeat_at - 2 * lease WHERE service_id = {crashed}"
        ))?;
        let mut drawn = Drawn { tokens: vec![held, work.context("free")?, forced], services: vec![alive, crashed] };
        let submitted = Submitted::new(&sql, &mut drawn).await?;
        Ok(Self { server, alive, held, crashed, submitted, drawn })
    }

    /// Draws more numbers, which an earlier dump does not have.
    pub async fn go_on(&mut self) -> anyhow::Result<()> {
        let sql = manager(&self.server, "volguard").await?;
        let later = sql.register("later", LONG_LEASE).await?;
        self.drawn.services.push(later);
        for number in 0..3 {
            let token = take(&sql, later, &format!("later-{number}")).await?;
            self.drawn.tokens.push(token);
        }
        Ok(())
    }
}

/// In the database that has replaced the original, everything works as if nothing had happened, with larger numbers.
pub async fn it_goes_on(original: &Original, server: &PrivateServer, database: &str) -> anyhow::Result<()> {
    let Original { alive, held, crashed, submitted, drawn, .. } = original;
    let sql = manager(server, database).await?;
    growing(&drawn.tokens, &[take(&sql, *alive, "later-0").await?])?;
    growing(&drawn.services, &[sql.register("new", LONG_LEASE).await?])?;
    sql.run(&format!("SELECT volguard.assert_held({held})")).await?;
    let cleaned = format!("SELECT resources_cleaned FROM volguard.cleanup(service_id => {crashed})");
    // The first round fences it, the second one repairs its work.
    sql.run(&cleaned).await?;
    assert_eq!(sql.number(&cleaned).await?, Some(1));
    let volume = "SELECT status || size FROM app.volumes WHERE id = 'v0'";
    assert_eq!(sql.text(volume).await?.as_deref(), Some("error2"));
    let events = "SELECT string_agg(kind, ' ' ORDER BY event_id) FROM volguard.event_log";
    assert_eq!(sql.text(events).await?.as_deref(), Some("disabled forced fenced cleaned"));
    growing(&drawn.tokens, &[take(&sql, *alive, "v0").await?])?;
    submitted.goes_on(&sql, drawn).await
}
