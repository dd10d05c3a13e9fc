//! Registering a service, which begins a session.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Incarnations, Inner, Session};
use crate::error::Error;
use crate::handle::Volguard;
use crate::janitor::Janitor;
use crate::json::{self, Part};
use crate::sql;
use crate::state::{self, Core, Heartbeat, Lease, Moment};
use crate::telemetry;

/// The cluster of services that name none, as the server calls it.
const DEFAULT_CLUSTER: &str = "default";

/// A service about to be registered. Made by [`Volguard::register`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Registration {
    volguard: Volguard,
    host: String,
    binary_name: String,
    cluster: Option<String>,
    lease: Option<Duration>,
    details: Option<Part>,
    janitor: Option<Janitor>,
}

impl Volguard {
    /// Prepares to register one incarnation of a process, which `host` and `binary_name` identify. Nothing happens before
    /// the result is awaited.
    ///
    /// Registering the same host and binary name in the same cluster again fences the earlier incarnation at once.
    /// *Errors:* Of the result, when it is awaited: [`Error::Connect`] or [`Error::NoReply`] if the server can't be
    /// reached within the time limit of a call, [`Error::Database`] if it refuses (22023 for an empty name or a lease
    /// out of range, 42501 without the privilege), [`Error::InvalidDocument`] for details that are no JSON,
    /// [`Error::SessionLost`] if the server answered so late that the lease may have expired.
    /// *Cancel safety:* Dropping the future may leave a service that never sends heartbeats. It ends with the next
    /// registration or with its lease.
    pub fn register(&self, host: &str, binary_name: &str) -> Registration {
        Registration {
            volguard: self.clone(),
            host: host.to_owned(),
            binary_name: binary_name.to_owned(),
            cluster: None,
            lease: None,
            details: None,
            janitor: Some(Janitor::default()),
        }
    }
}

impl Registration {
    /// The cluster of the service, a label: claims and the janitor stay within a cluster, and
    /// [`Cleanup`](crate::Cleanup) can select by it. It is not part of a lock's key: services of all clusters contend
    /// for the same locks. Default: `default`.
    pub fn cluster(mut self, cluster: &str) -> Self {
        self.cluster = Some(cluster.to_owned());
        self
    }

    /// How long the server waits for a heartbeat before the service counts as dead. Default: the setting
    /// `volguard.service_down_time`. Heartbeats are sent at a third of it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Details for people to read, shown with the service in the view `service_status`.
    pub fn details(mut self, details: impl Serialize) -> Self {
        self.details = Some(json::json(details));
        self
    }

    /// The janitor, which cleans up after other dead services of the cluster. Default: one that runs about every 10
    /// seconds. With `None`, this is left to other sessions, to the extension's background worker, and to acquires that
    /// wait for a lock of a dead service.
    pub fn janitor(mut self, janitor: impl Into<Option<Janitor>>) -> Self {
        self.janitor = janitor.into();
        self
    }

    /// Prepares to register now, and again whenever the session is lost.
    pub fn incarnations(self) -> Incarnations {
        Incarnations::new(self)
    }

    pub(super) fn volguard(&self) -> &Volguard {
        &self.volguard
    }

    /// Registers, unless a later incarnation than `previous` lives.
    pub(super) async fn begin_after(self, previous: Option<i64>) -> Result<Session, Error> {
        let limit = self.volguard.time_limit();
        timeout(limit, self.begin(previous)).await.unwrap_or(Err(Error::NoReply))
    }

    async fn begin(self, previous: Option<i64>) -> Result<Session, Error> {
        let Registration { volguard, host, binary_name, cluster, lease, details, janitor } = self;
        let details = details.transpose();
        let details = details.map_err(|problem| Error::InvalidDocument { column: "details".to_owned(), problem })?;
        let wire = volguard.open(volguard.time_limit()).await?;
        if let Some(previous) = previous {
            let later = sql::later_incarnation(&*wire, previous, &host, &binary_name, cluster.as_deref()).await?;
            later.map_or(Ok(()), |service_id| Err(Error::Superseded { service_id }))?;
        }
        let call = sql::register_service(&*wire, &host, &binary_name, cluster.as_deref(), lease, details.as_deref());
        let service_id = telemetry::observed("register_service", call).await?;

        // The first heartbeat returns the lease that the server has chosen.
        let sent_at = Moment::now();
        let lease = telemetry::observed("heartbeat", sql::heartbeat(&*wire, service_id)).await?;
        tracing::info!(service_id, host, binary_name, ?lease, "registered");

        let lease = Arc::new(Lease::new(sent_at, lease));
        lease.check()?;
        state::keep(&lease);
        let core = Arc::new(Core::new(volguard, service_id, lease));
        let (alive, gone) = oneshot::channel();
        tokio::spawn(Heartbeat::new(Arc::clone(&core), wire, sent_at).run(gone));
        let janitor = janitor.map(|janitor| {
            let (alive, gone) = oneshot::channel();
            let cluster = cluster.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
            tokio::spawn(janitor.run(Arc::clone(&core), cluster, gone));
            alive
        });
        Ok(Session { inner: Arc::new(Inner { core, _alive: alive, _janitor: janitor }) })
    }
}

impl IntoFuture for Registration {
    type Output = Result<Session, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin_after(None))
    }
}
