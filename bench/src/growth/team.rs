//! The clients that work in one database.

use std::time::Duration;

use anyhow::Result;
use tokio_postgres::Client;

use crate::locks::{Locker, Volguard};
use crate::machine;

#[derive(Debug, Default)]
pub struct Team {
    pub lockers: Vec<Locker>,
    /// The processes that serve them.
    backends: Vec<i32>,
}

impl Team {
    pub async fn connect(
        connect: &impl AsyncFn() -> Result<Client>,
        clients: usize,
    ) -> Result<Team> {
        let mut team = Team::default();
        for number in 0..clients {
            let client = connect().await?;
            let backend = client.query_one("SELECT pg_catalog.pg_backend_pid()", &[]);
            team.backends.push(backend.await?.try_get(0)?);
            let volguard = Volguard::connect(client, &format!("host-{number}")).await?;
            team.lockers.push(Locker::Volguard(volguard));
        }
        Ok(team)
    }

    /// Has each backend make all its plans.
    pub async fn warm_up(&mut self) -> Result<()> {
        for locker in &mut self.lockers {
            // Beyond the fifth execution Postgres decides whether to go on with one plan.
            for _ in 0..10 {
                locker.acquire("warm-up").await?;
                locker.release("warm-up").await?;
            }
        }
        Ok(())
    }

    /// What the processes that serve them have used.
    pub fn server_time(&self) -> Result<Duration> {
        self.backends
            .iter()
            .map(|&pid| machine::processor_time(pid))
            .sum()
    }
}
