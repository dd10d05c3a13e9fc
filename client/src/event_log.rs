//! The event log: what has happened to services and locks, other than by their holders.

use std::time::SystemTime;

use serde_json::Value;
use tokio_postgres::Row;

use crate::error::Error;
use crate::handle::Volguard;
use crate::statements;

/// Which events to read: all that match every criterion set, the newest first.
///
/// ```
/// use volguard::{EventKind, EventLog};
///
/// let request = EventLog::all().cluster("ceph").kind(EventKind::Fenced).limit(20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "pass it to `Volguard::event_log`"]
pub struct EventLog {
    kind: Option<EventKind>,
    cluster: Option<String>,
    service_id: Option<i64>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    limit: u32,
}

impl EventLog {
    /// Every event, up to the [`limit`](Self::limit).
    pub fn all() -> EventLog {
        EventLog { kind: None, cluster: None, service_id: None, resource_type: None, resource_id: None, limit: 100 }
    }

    /// Only events of this kind.
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only events of this cluster.
    pub fn cluster(mut self, cluster: &str) -> Self {
        self.cluster = Some(cluster.to_owned());
        self
    }

    /// Only events of this service.
    pub fn service_id(mut self, id: i64) -> Self {
        self.service_id = Some(id);
        self
    }

    /// Only events of this resource.
    pub fn resource(mut self, resource_type: &str, id: &str) -> Self {
        self.resource_type = Some(resource_type.to_owned());
        self.resource_id = Some(id.to_owned());
        self
    }

    /// How many events to read at most. Default: 100.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A service was fenced: `details` has the cause, and how long the service had been silent.
    Fenced,
    /// A cleanup changed something for a dead service: `details` has the counts.
    Cleaned,
    /// A lock was taken away by `force_release`, for the reason in `details`.
    Forced,
    /// A lock was removed by `reset_resource`.
    Reset,
    /// A crash rule failed on a resource, with the error in `details`; its work waits.
    RuleFailed,
    /// A cluster was marked as out of use.
    Disabled,
    /// A cluster was marked as in use again.
    Enabled,
    /// A kind that a later version of the extension has added.
    Other(String),
}

impl EventKind {
    fn read(name: &str) -> EventKind {
        match name {
            "fenced" => EventKind::Fenced,
            "cleaned" => EventKind::Cleaned,
            "forced" => EventKind::Forced,
            "reset" => EventKind::Reset,
            "rule_failed" => EventKind::RuleFailed,
            "disabled" => EventKind::Disabled,
            "enabled" => EventKind::Enabled,
            other => EventKind::Other(other.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            EventKind::Fenced => "fenced",
            EventKind::Cleaned => "cleaned",
            EventKind::Forced => "forced",
            EventKind::Reset => "reset",
            EventKind::RuleFailed => "rule_failed",
            EventKind::Disabled => "disabled",
            EventKind::Enabled => "enabled",
            EventKind::Other(name) => name,
        }
    }
}

/// One event. Fields that don't apply are `None`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Its number: later ones are larger.
    pub event_id: i64,
    /// When, by the database's clock.
    pub at: SystemTime,
    /// What happened.
    pub kind: EventKind,
    /// The cluster.
    pub cluster: Option<String>,
    /// The service that it happened to.
    pub service_id: Option<i64>,
    /// The resource's type.
    pub resource_type: Option<String>,
    /// The resource.
    pub resource_id: Option<String>,
    /// The name of the lock; empty for the one without a name.
    pub lock_name: Option<String>,
    /// The token of that lock.
    pub token: Option<i64>,
    /// The role that caused the event, or whose call found it.
    pub role: String,
    /// The rest, depending on the kind.
    pub details: Value,
}

impl Volguard {
    /// Reads the event log, which the server keeps for a while (`volguard.event_retention`, `volguard.max_events`).
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
    /// use volguard::EventLog;
    ///
    /// for event in volguard.event_log(EventLog::all().cluster("ceph")).await? {
    ///     println!("{:?} {:?} by {}: {}", event.at, event.kind, event.role, event.details);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Pool`].
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn event_log(&self, request: EventLog) -> Result<Vec<Event>, Error> {
        let kind = request.kind.as_ref().map(EventKind::name);
        let rows = self
            .rows(
                &statements::EVENT_LOG,
                &[
                    &kind,
                    &request.cluster,
                    &request.service_id,
                    &request.resource_type,
                    &request.resource_id,
                    &i64::from(request.limit),
                ],
            )
            .await?;
        rows.iter().map(Event::read).collect()
    }
}

impl Event {
    fn read(row: &Row) -> Result<Event, Error> {
        Ok(Event {
            event_id: row.try_get("event_id")?,
            at: row.try_get("at")?,
            kind: EventKind::read(row.try_get("kind")?),
            cluster: row.try_get("cluster")?,
            service_id: row.try_get("service_id")?,
            resource_type: row.try_get("resource_type")?,
            resource_id: row.try_get("resource_id")?,
            lock_name: row.try_get("lock_name")?,
            token: row.try_get("token")?,
            role: row.try_get("role")?,
            details: row.try_get("details")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::EventKind;

    #[test]
    fn kinds_survive_their_names() {
        for name in ["fenced", "cleaned", "forced", "reset", "rule_failed", "disabled", "enabled"] {
            let kind = EventKind::read(name);
            assert_eq!(kind.name(), name);
            assert!(!matches!(kind, EventKind::Other(_)));
        }
        assert_eq!(EventKind::read("new"), EventKind::Other("new".to_owned()));
    }
}
