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
    pub drawn: Drawn,
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
        Ok(Self {
            server,
            alive,
            held,
            crashed,
            drawn: Drawn { tokens: vec![held, work.context("free")?, forced], services: vec![alive, crashed] },
        })
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
    let Original { alive, held, crashed, drawn, .. } = original;
    let sql = manager(server, database).await?;
    growing(&drawn.tokens, &[take(&sql, *alive, "later-0").await?])?;
    growing(&drawn.services, &[sql.register("new", LONG_LEASE).await?])?;
    sql.run(&format!("SELECT volguard.assert_held({held})")).await?;
    let cleaned = format!("SELECT resources_cleaned FROM volguard.cleanup(service_id => {crashed})");
    assert_eq!(sql.number(&cleaned).await?, Some(1));
    let volume = "SELECT status || size FROM app.volumes WHERE id = 'v0'";
    assert_eq!(sql.text(volume).await?.as_deref(), Some("error2"));
    let events = "SELECT string_agg(kind, ' ' ORDER BY event_id) FROM volguard.event_log";
    assert_eq!(sql.text(events).await?.as_deref(), Some("disabled forced fenced cleaned"));
    growing(&drawn.tokens, &[take(&sql, *alive, "v0").await?])?;
    Ok(())
}
