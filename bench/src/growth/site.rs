//! A database with one case's rows in it, and the clients that work there.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio_postgres::Client;

use super::case::Case;
use super::heartbeats::Heartbeats;
use super::table::Table;
use super::team::Team;
use crate::locks::{Load, turn};
use crate::servers::Postgres;

/// How long the clients work before somebody looks how many cycles they have done.
const STRETCH: Duration = Duration::from_secs(1);

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
            let mut team = Team::connect(&connect, clients).await?;
            team.warm_up().await?;
            fill(&superuser, case.rows, &services).await?;
            team
        } else {
            fill(&superuser, case.rows, &services).await?;
            analyze(&superuser).await?;
            Team::connect(&connect, clients).await?
        };
        let heartbeats = match case.heartbeats {
            true => Some(Heartbeats::prepare(&services, connect).await?),
            false => None,
        };
        let mut site = Site {
            case,
            fresh: Table::all(&superuser).await?,
            superuser,
            team,
            heartbeats,
        };
        site.wear().await?;
        Ok(site)
    }

    /// Does the cycles that are to have been before.
    async fn wear(&mut self) -> Result<()> {
        let (mut done, lockers) = (0, &mut self.team.lockers);
        while done < self.case.cycles {
            let clients = lockers.len();
            let turn = turn(lockers, Load::OwnKeys, clients, STRETCH).await?;
            done += turn.served.iter().sum::<u64>();
        }
        Ok(())
    }

    pub async fn turn(&mut self, clients: usize, time: Duration) -> Result<Turn> {
        let (start, before) = (Instant::now(), self.team.server_time()?);
        let work = turn(&mut self.team.lockers, Load::OwnKeys, clients, time);
        let (turn, beats) = match &self.heartbeats {
            Some(heartbeats) => {
                let end = (start + time).into();
                tokio::try_join!(work, heartbeats.until(end))?
            }
            None => (work.await?, 0),
        };
        let server_time = self.team.server_time()? - before;
        let pairs = turn.served.iter().sum::<u64>() as f64;
        Ok(Turn {
            pairs_per_second: turn.pairs_per_second,
            server_time_per_pair: server_time.as_secs_f64() * 1e6 / pairs,
            heartbeats_per_second: beats as f64 / time.as_secs_f64(),
        })
    }

    pub async fn tables(&self) -> Result<Vec<Table>> {
        Table::all(&self.superuser).await
    }
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
