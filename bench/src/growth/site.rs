//! A database with one case's rows in it, and the clients that work there.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::case::Case;
use super::heartbeats::Heartbeats;
use super::table::Table;
use crate::locks::{Contender, Load, Team, turn};
use crate::servers::Postgres;

/// How many backends do the cycles that are to have been before.
const WEARERS: u64 = 8;

#[derive(Debug)]
pub struct Site {
    pub case: Case,
    /// The tables when they were filled, and nobody had worked on them.
    pub fresh: Vec<Table>,
    superuser: Client,
    team: Team,
    heartbeats: Option<Heartbeats>,
}

/// What one turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub pairs_per_second: f64,
    /// Processor time of the clients' backends, in microseconds.
    pub server_time_per_pair: f64,
    pub heartbeats_per_second: f64,
}

impl Site {
    pub async fn prepare(
        server: &Postgres,
        case: Case,
        number: usize,
        clients: usize,
    ) -> Result<Site> {
        let database = format!("growth_{number}");
        let superuser = server.create_database(&database).await?;
        let connect = async || server.connect_as_role(&database).await;
        let services = services(&connect().await?, case.services).await?;
        let team = if case.planned_for_one {
            fill(&superuser, 1, &services).await?;
            analyze(&superuser).await?;
            let sql = "ALTER TABLE volguard.workers SET (autovacuum_enabled = off)";
            superuser.batch_execute(sql).await?;
            let mut warm = team(&connect, clients).await?;
            warm_up(&mut warm).await?;
            fill(&superuser, case.rows, &services).await?;
            warm
        } else {
            fill(&superuser, case.rows, &services).await?;
            analyze(&superuser).await?;
            team(&connect, clients).await?
        };
        let heartbeats = match case.heartbeats {
            true => Some(Heartbeats::prepare(&services, connect).await?),
            false => None,
        };
        let fresh = Table::all(&superuser).await?;
        if case.cycles > 0 {
            let cycles = include_str!("../../sql/growth/cycles.sql");
            superuser.batch_execute(cycles).await?;
            wear(&connect, case.cycles, &services).await?;
        }
        Ok(Site {
            case,
            fresh,
            superuser,
            team,
            heartbeats,
        })
    }

    pub async fn turn(&mut self, clients: usize, time: Duration) -> Result<Turn> {
        let end = Instant::now() + time;
        let work = turn(&mut self.team, Load::OwnKeys, clients, time);
        let (turn, beats) = match &self.heartbeats {
            Some(heartbeats) => tokio::try_join!(work, heartbeats.until(end))?,
            None => (work.await?, 0),
        };
        Ok(Turn {
            pairs_per_second: turn.pairs_per_second,
            server_time_per_pair: turn.server_time_per_pair,
            heartbeats_per_second: beats as f64 / time.as_secs_f64(),
        })
    }

    pub async fn tables(&self) -> Result<Vec<Table>> {
        Table::all(&self.superuser).await
    }
}

async fn team(connect: &impl AsyncFn() -> Result<Client>, clients: usize) -> Result<Team> {
    let mut team = Team::default();
    for number in 0..clients {
        let client = connect().await?;
        team.add(Contender::Volguard, client, number).await?;
    }
    Ok(team)
}

/// Has each backend make all its plans.
async fn warm_up(team: &mut Team) -> Result<()> {
    for locker in &mut team.lockers {
        // Beyond the fifth execution Postgres decides whether to go on with one plan.
        for _ in 0..10 {
            locker.acquire("warm-up").await?;
            locker.release("warm-up").await?;
        }
    }
    Ok(())
}

/// Does the cycles that are to have been before.
async fn wear(
    connect: &impl AsyncFn() -> Result<Client>,
    cycles: u64,
    services: &[i64],
) -> Result<()> {
    let share = i64::try_from(cycles.div_ceil(WEARERS))?;
    let mut wearers = JoinSet::new();
    for &service in services.iter().take(WEARERS as usize) {
        let client = connect().await?;
        wearers.spawn(async move {
            let call = format!("CALL cycles({service}, {share})");
            client.batch_execute(&call).await
        });
    }
    while let Some(wearer) = wearers.join_next().await {
        wearer??;
    }
    Ok(())
}

async fn services(client: &Client, count: u32) -> Result<Vec<i64>> {
    let sql = include_str!("../../sql/growth/services.sql");
    let rows = client.query(sql, &[&i32::try_from(count)?]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn fill(superuser: &Client, rows: u32, services: &[i64]) -> Result<()> {
    let sql = include_str!("../../sql/growth/rows.sql");
    let services = services.to_vec();
    superuser
        .execute(sql, &[&i32::try_from(rows)?, &services])
        .await?;
    Ok(())
}

async fn analyze(superuser: &Client) -> Result<()> {
    // One by one: it runs in no transaction, and a text of several statements is one.
    for table in ["workers", "services"] {
        let vacuum = format!("VACUUM (ANALYZE) volguard.{table}");
        superuser.batch_execute(&vacuum).await?;
    }
    Ok(())
}
