//! Registering a service, which begins a session.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::clock::Moment;
use super::heartbeat::Heartbeat;
use super::incarnations::Incarnations;
use super::lease::Lease;
use super::{Core, Inner, Session, watch};
use crate::error::Error;
use crate::handle::Volguard;
use crate::interval::{Interval, ShortestInterval};
use crate::janitor::Janitor;
use crate::reaper::Reaper;
use crate::statements;

/// How long connecting and registering may take together.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The cluster of services that name none, as the server calls it.
const DEFAULT_CLUSTER: &str = "default";

/// A service about to be registered. Made by [`Volguard::register`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `start`"]
pub struct Registration {
    volguard: Volguard,
    host: String,
    binary_name: String,
    cluster: Option<String>,
    lease: Option<Duration>,
    details: Option<Value>,
    janitor: Option<Janitor>,
}

impl Registration {
    pub(crate) fn new(volguard: Volguard, host: &str, binary_name: &str) -> Registration {
        Registration {
            volguard,
            host: host.to_owned(),
            binary_name: binary_name.to_owned(),
            cluster: None,
            lease: None,
            details: None,
            janitor: Some(Janitor::default()),
        }
    }

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
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// The janitor, which cleans up after other dead services of the cluster. Default: one that runs about every 10
    /// seconds. With `None`, this is left to other sessions, to the extension's background worker, and to acquires that
    /// wait for a lock of a dead service.
    pub fn janitor(mut self, janitor: impl Into<Option<Janitor>>) -> Self {
        self.janitor = janitor.into();
        self
    }

    /// Registers the service and starts its heartbeats. An earlier incarnation (same cluster, host and binary name) is
    /// fenced at once.
    ///
    /// # Errors
    /// [`Error::Pool`] or [`Error::NoReply`] if the server can't be reached in 30 seconds, [`Error::Database`] if it
    /// refuses (22023 for an empty name or a lease out of range, 42501 without the privilege), [`Error::Configuration`]
    /// if the pool has room for one connection only, [`Error::SessionLost`] if the server answered so late that the
    /// lease may have expired.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a service that never sends heartbeats. It ends with the next registration or with
    /// its lease.
    pub async fn start(self) -> Result<Session, Error> {
        self.start_after(None).await
    }

    /// Starts the session, unless a later incarnation than `previous` lives.
    pub(super) async fn start_after(self, previous: Option<i64>) -> Result<Session, Error> {
        if self.volguard.pool().status().max_size < 2 {
            return Err(Error::Configuration(
                "the pool has room for fewer than two connections; one is needed to release while another waits"
                    .to_owned(),
            ));
        }
        timeout(START_LIMIT, self.begin(previous)).await.unwrap_or(Err(Error::NoReply))
    }

    /// Prepares to register now, and again whenever the session is lost.
    pub fn incarnations(self) -> Incarnations {
        Incarnations::new(self)
    }

    async fn begin(self, previous: Option<i64>) -> Result<Session, Error> {
        let mode = self.volguard.mode();
        let connection = self.volguard.open_beside_pool().await?;
        if let Some(previous) = previous {
            self.must_be_the_latest(&connection, previous).await?;
        }
        let lease = self.lease.map(Interval);
        let row = statements::REGISTER_SERVICE
            .row(&connection, mode, &[&self.host, &self.binary_name, &self.cluster, &lease, &self.details])
            .await?;
        let service_id: i64 = row.try_get(0)?;

        // The first heartbeat returns the lease that the server has chosen.
        let sent_at = Moment::now();
        let row = statements::HEARTBEAT.row(&connection, mode, &[&service_id]).await?;
        let ShortestInterval(lease) = row.try_get(0)?;
        tracing::info!(service_id, host = %self.host, binary_name = %self.binary_name, ?lease, "registered");

        let lease = Arc::new(Lease::new(sent_at, lease));
        lease.check().map_err(Error::SessionLost)?;
        watch::keep(&lease);
        let core = Arc::new(Core::new(self.volguard, service_id, lease));
        let (alive, gone) = oneshot::channel();
        tokio::spawn(Heartbeat::new(Arc::clone(&core), connection, sent_at).run(gone));
        let reaper = Reaper::start(Arc::clone(&core));
        let janitor = self.janitor.map(|janitor| {
            let cluster = self.cluster.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
            janitor.start(Arc::clone(&core), cluster)
        });
        Ok(Session { inner: Arc::new(Inner { core, reaper, _alive: alive, _janitor: janitor }) })
    }

    async fn must_be_the_latest(&self, connection: &ClientWrapper, service_id: i64) -> Result<(), Error> {
        let params: statements::Params<'_> = &[&service_id, &self.host, &self.binary_name, &self.cluster];
        let row = statements::LATER_INCARNATION.row(connection, self.volguard.mode(), params).await?;
        match row.try_get(0)? {
            Some(service_id) => Err(Error::Superseded { service_id }),
            None => Ok(()),
        }
    }
}
