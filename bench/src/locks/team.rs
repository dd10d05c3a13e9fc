//! A contender's clients.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::contender::Contender;
use super::locker::Locker;
use super::stage::Stage;
use crate::machine;
use crate::servers::Postgres;

#[derive(Debug, Default)]
pub struct Team {
    pub lockers: Vec<Locker>,
    /// The processes that serve them.
    processes: Vec<i32>,
}

impl Team {
    pub async fn connect(contender: Contender, stage: &Stage, clients: usize) -> Result<Team> {
        let mut team = Team::default();
        for number in 0..clients {
            let added = team.add_from(contender, stage, number).await;
            added.with_context(|| contender.name())?;
        }
        // One serves all, of those that aren't Postgres.
        team.processes.dedup();
        Ok(team)
    }

    async fn add_from(&mut self, contender: Contender, stage: &Stage, number: usize) -> Result<()> {
        match contender {
            Contender::Etcd => {
                let server = stage.etcd()?;
                self.lockers.push(Locker::in_etcd(server).await?);
                self.processes.push(server.pid());
            }
            Contender::Redis => {
                let server = stage.redis()?;
                self.lockers.push(Locker::in_redis(server).await?);
                self.processes.push(server.pid());
            }
            Contender::Volguard
            | Contender::Relaxed
            | Contender::Hand
            | Contender::HandRelaxed
            | Contender::Advisory => {
                self.add(contender, stage.connect().await?, number).await?;
            }
        }
        Ok(())
    }

    /// One more client, over this connection.
    pub async fn add(&mut self, contender: Contender, client: Client, number: usize) -> Result<()> {
        self.processes.push(Postgres::backend(&client).await?);
        let locker = Locker::in_postgres(contender, client, number).await?;
        self.lockers.push(locker);
        Ok(())
    }

    /// The processor time that the processes have used which serve them.
    pub fn server_time(&self) -> Result<Duration> {
        let times = self
            .processes
            .iter()
            .map(|&pid| machine::processor_time(pid));
        times.sum()
    }
}
