//! Registering a service, which begins a session, once or again and again.

use super::Session;
use crate::backoff::{FOREVER, pauses};
use crate::json::{Part, invalid, json};
use crate::state::{self, Core, Heartbeat, Lease, Moment};
use crate::{Error, Loss, Volguard, awaitable::awaitable, janitor, sql};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// A service about to be registered. Made by [`Volguard::register`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Registration {
    volguard: Volguard,
    host: String,
    binary_name: String,
    cluster: String,
    lease: Option<Duration>,
    details: Option<Part>,
    janitor: Option<Duration>,
}

impl Volguard {
    /// Prepares to register one incarnation of a process, which `host` and `binary_name` identify among those of the
    /// cluster's owner.
    ///
    /// Registering the same host and binary name again, in whatever cluster of that owner, fences the earlier
    /// incarnation at once. A dropped future may leave a service without heartbeats, which ends with its lease.
    /// *Errors:* [`Error::Database`] with 22023 for an empty name, one with control characters or a lease out of range,
    /// with 42501 without the privilege or in a cluster of another role, with 55P03 if a transaction that relies on the
    /// earlier incarnation was left open for 5 seconds (its DETAIL names the processes; [`Error::is_retryable`]);
    /// [`Error::InvalidDocument`] for details that are no JSON; [`Error::SessionLost`] if the answer came so late that
    /// the lease may have expired.
    pub fn register(&self, host: &str, binary_name: &str) -> Registration {
        let (volguard, host, binary_name) = (self.clone(), host.to_owned(), binary_name.to_owned());
        let (cluster, janitor) = ("default".to_owned(), Some(Duration::from_secs(10)));
        Registration { volguard, host, binary_name, cluster, lease: None, details: None, janitor }
    }
}

impl Registration {
    /// The cluster of the service, a label, which belongs to the first role that registered in it: claims and the
    /// janitor stay within a cluster, and [`Cleanup`](crate::Cleanup) can select by it; locks are common to all.
    /// Default: `default`, which belongs to no role.
    pub fn cluster(self, cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), ..self }
    }

    /// How long the server waits for a heartbeat. Default: the setting `volguard.service_down_time`.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Details for people to read, shown with the service in the view `service_status`.
    pub fn details(self, details: impl Serialize) -> Self {
        Self { details: Some(json(details)), ..self }
    }

    /// How often the session cleans up after dead services of its cluster. Default: about every 10 seconds. With
    /// `None`, this is left to other sessions, the extension's background worker and waiting acquires.
    ///
    /// It calls `volguard.auto_cleanup`, on a connection beside the pool, at random times between half the interval (at
    /// least a tenth of a second) and one and a half: the processes of a cluster take turns. Nearly always that is one
    /// small query. Where the setting of that name is off, it does nothing.
    pub fn janitor(self, interval: impl Into<Option<Duration>>) -> Self {
        let within = |interval: Duration| interval.clamp(Duration::from_millis(100), FOREVER);
        Self { janitor: interval.into().map(within), ..self }
    }

    /// Prepares to register now, and again whenever the session is lost.
    pub fn incarnations(self) -> Incarnations {
        Incarnations { registration: self, current: None, registered: None }
    }

    async fn send(self) -> Result<Session, Error> {
        self.begin(&mut None).await
    }

    /// Registers, unless a later incarnation than `previous` lives. `previous` is the new service as soon as that is
    /// known, also if the future is dropped or fails after that.
    async fn begin(self, previous: &mut Option<i64>) -> Result<Session, Error> {
        let limit = self.volguard.server.time_limit;
        let registering = async {
            let Registration { volguard, host, binary_name, cluster, lease, details, janitor } = self;
            let details = details.transpose().map_err(|problem| invalid("details", problem))?;
            let wire = volguard.open(limit).await?;
            if let Some(previous) = previous {
                let later = sql::later_incarnation(&wire, *previous, &host, &binary_name, &cluster).await?;
                later.map_or(Ok(()), |service_id| Err(Error::Superseded { service_id }))?;
            }
            let (in_cluster, details) = (Some(&*cluster), details.as_deref());
            let service_id = sql::register_service(&wire, &host, &binary_name, in_cluster, lease, details).await?;
            *previous = Some(service_id);
            // The first heartbeat returns the lease that the server has chosen.
            let sent_at = Moment::now();
            let lease = sql::heartbeat(&wire, service_id).await?;
            tracing::info!(service_id, host, binary_name, ?lease, "registered");
            let lease = Arc::new(Lease::new(sent_at, lease));
            lease.check()?;
            state::keep(&lease);
            let core = Arc::new(Core::new(volguard, service_id, lease));
            tokio::spawn(Heartbeat { core: Arc::clone(&core), wire: Some(wire), last_sent: sent_at }.run());
            if let Some(interval) = janitor {
                tokio::spawn(janitor::clean_up(Arc::clone(&core), cluster, interval));
            }
            let used = Arc::new(core.unused.clone().drop_guard());
            Ok(Session { core, _used: used })
        };
        timeout(limit, registering).await.unwrap_or(Err(Error::NoReply))
    }
}

awaitable!(Registration -> Result<Session, Error>);

/// The [`Session`]s of one process, one after the other. Made by [`Registration::incarnations`].
///
/// ```no_run
/// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
/// # async fn serve(session: volguard::Session) {}
/// let mut incarnations = volguard.register("node-1", "volume-manager").incarnations();
/// while let Some(session) = incarnations.next().await? {
///     if session.run(serve(session.clone())).await.is_ok() {
///         session.stop().await?;
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is registered before `next`"]
pub struct Incarnations {
    registration: Registration,
    current: Option<Arc<Core>>,
    /// The service that this process has registered last, as far as it knows.
    registered: Option<i64>,
}

impl Incarnations {
    /// Waits until the session that it returned last is lost, and registers again. Returns `None` if that session was
    /// [stopped](Session::stop). A session whose handles were all dropped is lost when its lease expires.
    ///
    /// What [runs](crate::Held::run) under the guards of the lost session has ended before, because registering frees
    /// its locks. A server that can't be reached is asked until it answers. An incarnation whose registration was under
    /// way when the future was dropped is fenced by the next.
    /// *Errors:* [`Error::Superseded`], and those of [`Volguard::register`] that don't pass, such as a wrong password.
    /// Calling it again tries again.
    pub async fn next(&mut self) -> Result<Option<Session>, Error> {
        if let Some(core) = &self.current {
            let loss = core.lease.lost().await;
            core.guarded.none_left().await;
            if loss == Loss::Stopped {
                return Ok(None);
            }
            tracing::info!(service_id = core.service_id, %loss, "registering again");
            // Idle connections of the pool have been silent for a lease: they may be dead, unnoticed by the pool.
            self.registration.volguard.drop_idle();
        }
        let mut told = false;
        for pause in pauses() {
            match self.registration.clone().begin(&mut self.registered).await {
                Ok(session) => {
                    self.current = Some(Arc::clone(&session.core));
                    return Ok(Some(session));
                }
                // Also if the answers to a registration come so late that its lease has expired.
                Err(error) if error.is_retryable() || matches!(error, Error::SessionLost(_)) => {
                    match std::mem::replace(&mut told, true) {
                        false => tracing::warn!(%error, "not registered yet, and tried again"),
                        true => tracing::debug!(%error, "not registered yet"),
                    }
                    sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the pauses have no end")
    }
}
