//! A database with the rows of one case, and the clients that work there.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use super::case::Case;
use super::heart::Heart;
use crate::database::Database;
use crate::locks::Holder;
use crate::provider::Provider;
use crate::rounds::Rounds;
use crate::sheet::Field;
use crate::stage::Stage;
use crate::turn::{Turn, turn};

const TABLES: &str = "volguard.workers, volguard.services";

#[derive(Debug)]
pub struct Site {
    database: Database,
    team: Vec<Holder>,
    /// The tasks of the services that send heartbeats meanwhile.
    hearts: Vec<Heart>,
    beats_per_second: Vec<f64>,
}

impl Site {
    pub async fn prepare(stage: &Stage, case: Case, number: usize, clients: usize) -> Result<Site> {
        let schema = include_str!("../../sql/growth/schema.sql");
        let database = stage.database(&format!("growth_{number}"), schema).await?;
        let services = database.register_services(case.services).await?;
        let mut team = Holder::team(Provider::Volguard, stage, &database, clients).await?;
        if case.planned_for_one {
            database.fill_workers(1, &services).await?;
            database.vacuum(TABLES).await?;
            // A vacuum would have the plans made again.
            let off = "ALTER TABLE volguard.workers SET (autovacuum_enabled = off)";
            database.superuser.batch_execute(off).await?;
            Holder::warm_up(&mut team).await?;
            database.fill_workers(case.rows, &services).await?;
        } else {
            database.fill_workers(case.rows, &services).await?;
            database.vacuum(TABLES).await?;
        }
        let beating = if case.heartbeats { &services[..] } else { &[] };
        let hearts = Heart::team(beating, &database).await?;
        let fresh = "CREATE TABLE fresh AS SELECT * FROM sizes";
        database.superuser.batch_execute(fresh).await?;
        wear(&database, case.cycles, &services).await?;
        Ok(Site { database, team, hearts, beats_per_second: Vec::new() })
    }

    pub async fn turn(&mut self, clients: usize, time: Duration) -> Result<Turn> {
        Holder::give_keys(&mut self.team[..clients], false);
        let hearts = self.hearts.len();
        let beats = turn(&mut self.hearts, hearts, time);
        let (turn, beats) = tokio::try_join!(turn(&mut self.team, clients, time), beats)?;
        self.beats_per_second.push(beats.per_second);
        Ok(turn)
    }

    /// One row for each of volguard's tables.
    pub async fn sizes(&self, case: &str) -> Result<Vec<Vec<Field>>> {
        let sql = include_str!("../../sql/growth/sizes.sql");
        let tables = self.database.superuser.query(sql, &[]).await?;
        let rows = tables.iter().map(|table| {
            let mut row = vec![Field::text(case), Field::Text(table.try_get(0)?)];
            for column in 1..table.len() {
                row.push(Field::Number(table.try_get(column)?));
            }
            row.push(Field::Number(Rounds(self.beats_per_second.clone()).median()));
            Ok(row)
        });
        rows.collect()
    }
}

/// Runs the cycles before the measurement, in a few backends.
async fn wear(database: &Database, cycles: u64, services: &[i64]) -> Result<()> {
    const WEARERS: usize = 8;
    let share = cycles.div_ceil(WEARERS as u64);
    let mut wearers = JoinSet::new();
    for &service in services.iter().take(WEARERS) {
        let client = database.connect().await?;
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
