//! The background task that keeps a session alive.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Core;
use super::clock::Moment;
use super::lease::Loss;
use crate::error::Error;
use crate::interval::ShortestInterval;
use crate::statements;

/// Limit of one try. With a lease of hours, half of the time left would be too long to wait on a dead connection.
const LONGEST_TRY: Duration = Duration::from_secs(30);

/// Pause between a failed try and the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Sends heartbeats on a connection of its own, so that neither an exhausted pool nor a slow statement delays them.
pub(super) struct Heartbeat {
    core: Arc<Core>,
    connection: Option<ClientWrapper>,
    last_sent: Moment,
}

impl Heartbeat {
    pub(super) fn new(core: Arc<Core>, connection: ClientWrapper, last_sent: Moment) -> Self {
        Heartbeat { core, connection: Some(connection), last_sent }
    }

    /// Runs until the session is lost or its last handle is dropped.
    pub(super) async fn run(mut self, gone: oneshot::Receiver<()>) {
        let core = Arc::clone(&self.core);
        let service_id = core.service_id;
        tokio::select! {
            loss = core.lease.lost() => match loss {
                Loss::Stopped => tracing::info!(service_id, "stopped"),
                _ => tracing::error!(service_id, %loss, "the session is lost"),
            },
            _ = gone => tracing::debug!(service_id, "no handle left, heartbeats end"),
            () = self.beat_on() => {}
        }
    }

    async fn beat_on(&mut self) {
        loop {
            tokio::select! {
                () = sleep_until(self.last_sent.awake() + self.core.lease.length() / 3) => {}
                () = self.core.beat_now.notified() => {}
            }
            while let Err(error) = self.beat_in_time().await {
                tracing::warn!(service_id = self.core.service_id, %error, "heartbeat failed");
                self.connection = None;
                self.core.heed(&error);
                sleep((self.core.lease.length() / 100).min(LONGEST_PAUSE)).await;
            }
        }
    }

    /// One try. It may take half of the time left: after a connection that answers nothing there is time for another
    /// try.
    async fn beat_in_time(&mut self) -> Result<(), Error> {
        let left = self.core.lease.lost_at().saturating_duration_since(Instant::now());
        let limit = (left / 2).max(self.core.lease.length() / 20);
        timeout(limit.min(LONGEST_TRY), self.beat()).await.unwrap_or(Err(Error::NoReply))
    }

    async fn beat(&mut self) -> Result<(), Error> {
        let connection = match self.connection.take() {
            Some(open) if !open.is_closed() => open,
            _ => self.core.volguard.open_beside_pool().await?,
        };
        let connection = self.connection.insert(connection);
        // Taken before sending: the server counts from the arrival.
        let sent_at = Moment::now();
        let row = statements::HEARTBEAT.row(connection, self.core.volguard.mode(), &[&self.core.service_id]).await?;
        let ShortestInterval(lease) = row.try_get(0)?;
        self.last_sent = sent_at;
        // A reply that comes too late changes nothing: `run` sees the loss by itself.
        let _ = self.core.lease.renew(sent_at, lease);
        tracing::trace!(service_id = self.core.service_id, "heartbeat");
        Ok(())
    }
}
