//! The background task that keeps a session alive.

use super::{Core, Moment};
use crate::handle::Wire;
use crate::{Error, Loss, sql};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Limit of one try. With a lease of hours, half of the time left would be too long to wait on a dead connection.
const LONGEST_TRY: Duration = Duration::from_secs(30);
/// Pause between a failed try and the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Sends heartbeats on a connection of its own, so that neither an exhausted pool nor a slow statement delays them.
pub(crate) struct Heartbeat {
    pub(crate) core: Arc<Core>,
    pub(crate) wire: Option<Wire>,
    pub(crate) last_sent: Moment,
}

impl Heartbeat {
    /// Runs until the session is lost or its last handle is dropped.
    pub(crate) async fn run(mut self) {
        let core = Arc::clone(&self.core);
        let service_id = core.service_id;
        tokio::select! {
            biased;
            loss = core.lease.lost() => match loss {
                Loss::Stopped => tracing::info!(service_id, "stopped"),
                _ => tracing::error!(service_id, %loss, "the session is lost"),
            },
            () = core.unused.cancelled() => tracing::debug!(service_id, "no handle left, heartbeats end"),
            () = self.beat_on() => {}
        }
    }

    async fn beat_on(&mut self) {
        loop {
            tokio::select! {
                () = sleep_until(self.last_sent.awake + self.core.lease.length() / 3) => {}
                () = self.core.beat_now.notified() => {}
            }
            let service_id = self.core.service_id;
            let mut failures: u32 = 0;
            while let Err(error) = self.beat().await {
                if let Error::SessionLost(_) = error {
                    return std::future::pending().await;
                }
                failures += 1;
                match failures {
                    1 => tracing::warn!(service_id, %error, "heartbeat failed, and is tried again"),
                    _ => tracing::debug!(service_id, %error, failures, "heartbeat failed again"),
                }
                // A heartbeat that is still under way is cancelled with it.
                self.wire = None;
                self.core.heed(&error);
                sleep((self.core.lease.length() / 100).min(LONGEST_PAUSE)).await;
            }
            if failures > 0 {
                tracing::info!(service_id, failures, "heartbeats succeed again");
            }
        }
    }

    /// One try. It may take half of the time left, so that there is time for another after a dead connection.
    async fn beat(&mut self) -> Result<(), Error> {
        let Core { volguard, lease, service_id, .. } = &*self.core;
        let left = lease.lost_at().saturating_duration_since(Instant::now());
        let limit = (left / 2).max(lease.length() / 20).min(LONGEST_TRY);
        let beat = async {
            let wire = match self.wire.take() {
                Some(open) if !open.is_closed() => open,
                _ => volguard.open(limit).await?,
            };
            let wire = self.wire.insert(wire);
            // A lost session revives no lease on the server, however late the timers are that tell of the loss.
            lease.check()?;
            // Taken before sending: the server counts from the arrival.
            let sent_at = Moment::now();
            let length = sql::heartbeat(wire, *service_id).await?;
            self.last_sent = sent_at;
            // A reply that comes too late changes nothing: `run` sees the loss by itself.
            let _ = lease.renew(sent_at, length);
            tracing::trace!(service_id, "heartbeat");
            Ok(())
        };
        timeout(limit, beat).await.unwrap_or(Err(Error::NoReply))
    }
}
