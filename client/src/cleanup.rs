//! Repairing what dead services left.

use std::time::SystemTime;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use crate::error::Error;
use crate::handle::Volguard;
use crate::statements;

/// Which dead services to clean up after: all that match every criterion set.
///
/// ```
/// use volguard::Cleanup;
///
/// let request = Cleanup::all().cluster("ceph").resource_type("volume");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "pass it to `Volguard::cleanup`"]
pub struct Cleanup {
    service_id: Option<i64>,
    cluster: Option<String>,
    host: Option<String>,
    binary_name: Option<String>,
    disabled: Option<bool>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    until: Option<SystemTime>,
}

impl Cleanup {
    /// Every dead service.
    pub fn all() -> Cleanup {
        Cleanup::default()
    }

    /// Only this service. A service that lives is an error.
    pub fn service_id(mut self, id: i64) -> Self {
        self.service_id = Some(id);
        self
    }

    /// Only services of this cluster.
    pub fn cluster(mut self, cluster: &str) -> Self {
        self.cluster = Some(cluster.to_owned());
        self
    }

    /// Only services on this host.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Only services with this binary name.
    pub fn binary_name(mut self, name: &str) -> Self {
        self.binary_name = Some(name.to_owned());
        self
    }

    /// Only services of clusters that are disabled, or only of those that are not.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Only resources of this type.
    pub fn resource_type(mut self, resource_type: &str) -> Self {
        self.resource_type = Some(resource_type.to_owned());
        self
    }

    /// Only resources with this id.
    pub fn resource_id(mut self, id: &str) -> Self {
        self.resource_id = Some(id.to_owned());
        self
    }

    /// Only what was last changed before this moment of the *database's* clock, as read from its views.
    pub fn until(mut self, moment: SystemTime) -> Self {
        self.until = Some(moment);
        self
    }
}

/// Whether anything is left to do for a dead service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CleanupState {
    /// Nothing is left.
    Cleaned,
    /// Work waits that no rule covers, or whose rule failed.
    Unavailable,
    /// A state that a later version of the extension has added.
    Other(String),
}

/// What cleanup did for one dead service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanedService {
    /// The dead service.
    pub service_id: i64,
    /// Its cluster.
    pub cluster: String,
    /// Its host.
    pub host: String,
    /// Whether anything is left to do.
    pub state: CleanupState,
    /// Plain locks that were dropped.
    pub locks_released: u64,
    /// Resources that a crash rule has repaired.
    pub resources_cleaned: u64,
    /// Resources that had changed since, or were gone: only the work was removed.
    pub resources_stale: u64,
    /// Resources that still wait for a repair.
    pub awaiting: u64,
}

impl Volguard {
    /// Cleans up after dead services: fences them for good, frees their plain locks, and applies crash rules to
    /// their work.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
    /// use volguard::Cleanup;
    ///
    /// for service in volguard.cleanup(Cleanup::all()).await? {
    ///     println!("{}: {} resources repaired", service.host, service.resources_cleaned);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Database`] with 55000 if [`Cleanup::service_id`] names a service that lives; [`Error::Pool`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn cleanup(&self, request: Cleanup) -> Result<Vec<CleanedService>, Error> {
        let rows = self
            .rows(
                &statements::CLEANUP,
                &[
                    &request.service_id,
                    &request.cluster,
                    &request.host,
                    &request.binary_name,
                    &request.disabled,
                    &request.resource_type,
                    &request.resource_id,
                    &request.until,
                ],
            )
            .await?;
        rows.iter().map(CleanedService::read).collect()
    }

    /// For a periodic task: cleans up after services that have died since the last call, in one cluster or in all,
    /// without waiting for other calls. A [`Janitor`](crate::Janitor) calls it for its session's cluster.
    ///
    /// It skips a cluster that another call is cleaning, and leaves a service with locked rows to the next call. Work
    /// that no rule could repair is tried again after ten minutes, or by [`cleanup`](Self::cleanup). Where
    /// `volguard.auto_cleanup` is off it does nothing.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Pool`].
    ///
    /// # Cancel safety
    /// When the future is dropped, the call may have taken effect or not; repeating it is safe.
    pub async fn auto_cleanup(&self, cluster: Option<&str>) -> Result<Vec<CleanedService>, Error> {
        let client = self.checkout().await?;
        self.auto_cleanup_by(&client, cluster).await
    }

    pub(crate) async fn auto_cleanup_by(
        &self,
        client: &ClientWrapper,
        cluster: Option<&str>,
    ) -> Result<Vec<CleanedService>, Error> {
        let rows = statements::AUTO_CLEANUP.rows(client, self.mode(), &[&cluster]).await?;
        rows.iter().map(CleanedService::read).collect()
    }
}

impl CleanedService {
    fn read(row: &Row) -> Result<CleanedService, Error> {
        let count = |column| -> Result<u64, Error> { Ok(row.try_get::<_, i64>(column)?.unsigned_abs()) };
        Ok(CleanedService {
            service_id: row.try_get("service_id")?,
            cluster: row.try_get("cluster")?,
            host: row.try_get("host")?,
            state: match row.try_get("state")? {
                "cleaned" => CleanupState::Cleaned,
                "unavailable" => CleanupState::Unavailable,
                other => CleanupState::Other(other.to_owned()),
            },
            locks_released: count("locks_released")?,
            resources_cleaned: count("resources_cleaned")?,
            resources_stale: count("resources_stale")?,
            awaiting: count("awaiting")?,
        })
    }
}
