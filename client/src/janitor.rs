//! The background task that cleans up after dead services of a session's cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::backoff::FOREVER;
use crate::sql::{self, CleanedService};
use crate::state::Core;
use crate::{Error, telemetry};

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(600);

type Report = dyn Fn(Result<&[CleanedService], &Error>) + Send + Sync;

/// How a session cleans up after dead services of its cluster, for
/// [`Registration::janitor`](crate::Registration::janitor).
///
/// It calls `volguard.auto_cleanup` on a connection beside the pool, at random times between half the interval and one
/// and a half, so that the processes of a cluster take turns; of several calls at once, one cleans. Nearly always the
/// call finds nothing to do and is one small query. (An acquire that waits for a lock frees it itself, as soon as the
/// lease of its holder has expired.)
///
/// Where `volguard.auto_cleanup` is off, it does nothing. It ends with its session; a call under way runs to its end.
#[derive(Clone)]
pub struct Janitor {
    interval: Duration,
    report: Option<Arc<Report>>,
}

impl Janitor {
    /// A janitor with this interval, a tenth of a second at the shortest. The default is 10 seconds.
    pub fn every(interval: Duration) -> Janitor {
        Janitor { interval: interval.clamp(Duration::from_millis(100), FOREVER), report: None }
    }

    /// Sets a callback for each call that cleaned something, and for each that failed. It runs on the runtime, and
    /// should neither block nor panic. `tracing` gets both as well: a warning for the first of several failures.
    pub fn report_to(self, report: impl Fn(Result<&[CleanedService], &Error>) + Send + Sync + 'static) -> Janitor {
        Janitor { report: Some(Arc::new(report)), ..self }
    }

    /// Works until the sender is dropped, or the session is lost.
    pub(crate) async fn run(self, core: Arc<Core>, cluster: String, mut gone: oneshot::Receiver<()>) {
        let mut failures: u32 = 0;
        loop {
            // From half the interval to one and a half.
            let factor = 0.5 + f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX);
            tokio::select! {
                () = sleep(self.interval.mul_f64(factor)) => {}
                _ = core.lease.lost() => return,
                _ = &mut gone => return,
            }
            let cleaned = clean(&core, &cluster).await;
            failures = if cleaned.is_ok() { 0 } else { failures.saturating_add(1) };
            match &cleaned {
                Ok(services) if services.is_empty() => {
                    tracing::trace!("no dead service to clean up after");
                    continue;
                }
                Ok(services) => services.iter().for_each(|service| {
                    tracing::info!(?service, "cleaned up after a dead service");
                }),
                Err(error) if failures == 1 => tracing::warn!(%error, "the janitor's call failed, and is repeated"),
                Err(error) => tracing::debug!(%error, failures, "the janitor's call failed again"),
            }
            if let Some(report) = &self.report {
                report(cleaned.as_deref());
            }
        }
    }
}

/// On a connection of its own, because a cleaning may take long.
async fn clean(core: &Core, cluster: &str) -> Result<Vec<CleanedService>, Error> {
    let wire = core.volguard.open(core.volguard.time_limit()).await?;
    let call = telemetry::observed("auto_cleanup", sql::auto_cleanup(&*wire, Some(cluster)));
    timeout(LIMIT, call).await.unwrap_or(Err(Error::NoReply))
}

impl Default for Janitor {
    fn default() -> Janitor {
        Janitor::every(Duration::from_secs(10))
    }
}

impl fmt::Debug for Janitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Janitor").field("interval", &self.interval).finish_non_exhaustive()
    }
}
