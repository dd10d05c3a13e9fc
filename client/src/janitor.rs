//! The background task that cleans up after dead services of a session's cluster.

use crate::Error;
use crate::sql;
use crate::state::Core;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Works until the last handle of the session is dropped, or the session is lost.
pub(crate) async fn clean_up(core: Arc<Core>, cluster: String, interval: Duration) {
    let mut failing = false;
    loop {
        // From half the interval to one and a half.
        let factor = 0.5 + f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX);
        tokio::select! {
            () = sleep(interval.mul_f64(factor)) => {}
            _ = core.lease.lost() => return,
            () = core.unused.cancelled() => return,
        }
        let cleaned = clean(&core, &cluster).await;
        match &cleaned {
            Ok(()) => {}
            Err(error) if !failing => tracing::warn!(%error, "the janitor's call failed, and is repeated"),
            Err(error) => tracing::debug!(%error, "the janitor's call failed again"),
        }
        failing = cleaned.is_err();
    }
}

/// As many rounds as there is something to do. On a connection of its own, because a cleaning may take long.
async fn clean(core: &Core, cluster: &str) -> Result<(), Error> {
    let mut wire = core.volguard.open(core.volguard.server.time_limit).await?;
    wire.limit = LIMIT;
    loop {
        let round = sql::auto_cleanup(&wire, Some(cluster)).await?;
        for service in round.services.iter().filter(|service| service.state != "busy") {
            tracing::info!(by = core.service_id, ?service, "cleaned up after a dead service");
        }
        if !round.more || core.unused.is_cancelled() {
            return Ok(());
        }
    }
}
