//! The heartbeats of many services, as turns of a few connections.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::connection::Connection;
use crate::database::Database;
use crate::turn::{Piece, Player};

/// A third of a lease of one minute, the default.
const EVERY: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 4;

#[derive(Debug)]
pub struct Heart {
    connection: Connection,
    services: Vec<i64>,
    ticks: Interval,
    beats: usize,
}

impl Heart {
    /// The connections of these services' heartbeats, evenly spread.
    pub async fn team(services: &[i64], database: &Database) -> Result<Vec<Heart>> {
        let mut team = Vec::new();
        for services in services.chunks(services.len().div_ceil(CONNECTIONS).max(1)) {
            let heartbeat = "SELECT volguard.heartbeat(service_id => $1)";
            let client = database.connect().await?;
            let mut ticks = interval(EVERY / u32::try_from(services.len())?);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            team.push(Heart {
                connection: Connection::prepare(client, &[heartbeat]).await?,
                services: services.to_vec(),
                ticks,
                beats: 0,
            });
        }
        Ok(team)
    }
}

impl Player for Heart {
    fn server_pids(&self) -> impl IntoIterator<Item = i32> {
        [self.connection.server_pid()]
    }

    async fn work(&mut self) -> Result<Piece> {
        self.ticks.tick().await;
        let asked = Instant::now();
        let service = self.services[self.beats % self.services.len()];
        self.connection.row(0, &[&service]).await?;
        self.beats += 1;
        Ok(Piece::since(asked))
    }
}
