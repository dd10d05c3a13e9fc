//! The heartbeats of many services.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

/// A third of the lease of a minute that services have unless told otherwise.
const EVERY: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 4;

/// Connections over which the services heartbeat.
#[derive(Debug)]
pub struct Heartbeats {
    hearts: Vec<Arc<Heart>>,
}

#[derive(Debug)]
struct Heart {
    client: Client,
    heartbeat: Statement,
    services: Vec<i64>,
}

impl Heartbeats {
    pub async fn prepare(
        services: &[i64],
        connect: impl AsyncFn() -> Result<Client>,
    ) -> Result<Heartbeats> {
        let mut hearts = Vec::new();
        for services in services.chunks(services.len().div_ceil(CONNECTIONS).max(1)) {
            let client = connect().await?;
            let sql = "SELECT volguard.heartbeat(service_id => $1)";
            let heartbeat = client.prepare_typed(sql, &[Type::INT8]).await?;
            hearts.push(Arc::new(Heart {
                client,
                heartbeat,
                services: services.to_vec(),
            }));
        }
        Ok(Heartbeats { hearts })
    }

    /// Has all services heartbeat, evenly spread, until then. Returns how many heartbeats that were.
    pub async fn until(&self, end: Instant) -> Result<u64> {
        let mut running = JoinSet::new();
        for heart in &self.hearts {
            let heart = Arc::clone(heart);
            running.spawn(async move { heart.beat_until(end).await });
        }
        let mut beats = 0;
        while let Some(result) = running.join_next().await {
            beats += result??;
        }
        Ok(beats)
    }
}

impl Heart {
    async fn beat_until(&self, end: Instant) -> Result<u64> {
        let mut ticks = interval(EVERY / u32::try_from(self.services.len())?);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut beats = 0;
        for service in self.services.iter().cycle() {
            if ticks.tick().await >= end {
                break;
            }
            self.client.query_one(&self.heartbeat, &[service]).await?;
            beats += 1;
        }
        Ok(beats)
    }
}
