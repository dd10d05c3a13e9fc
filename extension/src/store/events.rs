//! The record of what happened to services and locks without their holders: a row of `events`, in the transaction of
//! the act, and a line in the server's log.
//!
//! It is bounded in age and, but for what operators and superusers did, in number: some calls that record an event trim
//! a little, without waiting for each other.

use super::{commit_log, sql, token};
use crate::pg::error::Error;
use crate::pg::spi::{arg, transaction_snapshot_only};
use crate::pg::transaction::Failure;
use crate::pg::{owner, settings};
use crate::sabotage::{self, Guard};
use pgrx::JsonB;
use pgrx::pg_sys::Oid;
use serde_json::{Value, json};
use std::fmt;

/// One call in so many that record an event trims, by the id of the event. It may remove more than have come meanwhile.
const TRIM_EVERY: u64 = 32;
const TRIM_AT_ONCE: i32 = 128;

/// A cleanup trims more at once.
const TRIM_BY_CLEANUP: i32 = 1000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Fenced,
    Cleaned,
    Forced,
    Reset,
    RuleFailed,
    Disabled,
    Enabled,
    /// A superuser released a lock of others, by the verb of its holder.
    Released,
    OwnerChanged,
    ClusterRemoved,
    /// By an operator. Otherwise as `Fenced`.
    FencedByOperator,
    SessionEnded,
    /// An operator had one piece of work repaired.
    Repaired,
}

impl EventKind {
    fn name(self) -> &'static str {
        match self {
            EventKind::Fenced | EventKind::FencedByOperator => "fenced",
            EventKind::Cleaned => "cleaned",
            EventKind::Forced => "forced",
            EventKind::Reset => "reset",
            EventKind::RuleFailed => "rule_failed",
            EventKind::Disabled => "disabled",
            EventKind::Enabled => "enabled",
            EventKind::Released => "released",
            EventKind::OwnerChanged => "owner_changed",
            EventKind::ClusterRemoved => "cluster_removed",
            EventKind::SessionEnded => "session_ended",
            EventKind::Repaired => "repaired",
        }
    }

    /// Whether the event is kept for its age, however many others come: it tells what was done with a privilege. Those
    /// who have none can cause any number of the others.
    fn by_age(self) -> bool {
        use EventKind::{ClusterRemoved, FencedByOperator, Forced, OwnerChanged, Released, Repaired, Reset};
        matches!(self, Forced | Reset | Repaired | FencedByOperator | Released | OwnerChanged | ClusterRemoved)
            && !sabotage::removed(Guard::KeptByAge)
    }
}

/// What it happened to. The time is that of the record.
#[derive(Debug)]
pub struct Event<'a> {
    pub kind: EventKind,
    pub cluster: Option<&'a str>,
    pub service_id: Option<i64>,
    /// Its type and its id.
    pub resource: Option<(&'a str, &'a str)>,
    /// Its name and its token.
    pub lock: Option<(&'a str, i64)>,
    pub details: Value,
    /// `None`: the caller.
    pub role: Option<Oid>,
}

impl Event<'_> {
    pub fn of(kind: EventKind) -> Self {
        Event { kind, cluster: None, service_id: None, resource: None, lock: None, details: json!({}), role: None }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.name())?;
        if let Some(cluster) = self.cluster {
            write!(f, " cluster {cluster},")?;
        }
        if let Some(service_id) = self.service_id {
            write!(f, " service {service_id},")?;
        }
        if let Some((resource_type, resource_id)) = self.resource {
            write!(f, " {resource_type} {resource_id},")?;
        }
        if let Some((name, token)) = self.lock {
            let space = if name.is_empty() { "" } else { " " };
            write!(f, " lock{space}{name} with token {token},")?;
        }
        Ok(())
    }
}

/// Records an event, in the current transaction.
pub fn record(event: &Event) -> Result<(), Error> {
    let role = event.role.unwrap_or_else(owner::caller);
    // Of a rule that failed there is a warning already, and of a session that was ended a message.
    if !matches!(event.kind, EventKind::RuleFailed | EventKind::SessionEnded) {
        let role = owner::name(role);
        commit_log::at_commit(format!("volguard: {event} by {role}: {}", event.details));
    }
    let by_age = event.kind.by_age();
    if settings::event_retention_s() == 0 || settings::max_events() == 0 && !by_age {
        return Ok(());
    }
    let (resource_type, resource_id) = event.resource.unzip();
    let (lock_name, token) = event.lock.unzip();
    let id = token::draw_id()?;
    sql::ADD_EVENT.count(&[
        arg(event.kind.name()),
        event.cluster.and_then(arg),
        event.service_id.and_then(arg),
        resource_type.and_then(arg),
        resource_id.and_then(arg),
        lock_name.and_then(arg),
        token.and_then(arg),
        arg(role),
        arg(JsonB(event.details.clone())),
        arg(id),
        arg(by_age),
    ])?;
    match trims(id) {
        true => remove_oldest(TRIM_AT_ONCE),
        false => Ok(()),
    }
}

/// One id in 32. Ids share their sequence with tokens, so that those of events may all be odd: a multiple of the golden
/// ratio is spread evenly all the same.
fn trims(id: i64) -> bool {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    id.cast_unsigned().wrapping_mul(GOLDEN) < u64::MAX / TRIM_EVERY
}

/// Records that a crash rule failed on a resource: once an hour, however often it is tried again, and not for each of
/// the thousands of resources that one broken rule may concern.
pub fn record_failure(resource_type: &str, resource_id: &str, status: &str, failure: &Failure) -> Result<(), Error> {
    let is_news = [arg(resource_type), arg(resource_id), arg(status)];
    if !sql::FAILURE_IS_NEWS.run(&is_news, |rows| rows.get(0, 0).unwrap_or(true))? {
        return Ok(());
    }
    record(&Event {
        resource: Some((resource_type, resource_id)),
        details: json!({
            "status": status,
            "error": failure.message,
            "sqlstate": String::from_utf8_lossy(&failure.sqlstate),
        }),
        ..Event::of(EventKind::RuleFailed)
    })
}

/// Removes events beyond the age and the number that the settings allow. For cleanups: events must go also where no new
/// ones come.
pub fn trim() -> Result<(), Error> {
    remove_oldest(TRIM_BY_CLEANUP)
}

fn remove_oldest(most: i32) -> Result<(), Error> {
    // On one snapshot, an event that another transaction has just removed would be a serialization failure.
    if transaction_snapshot_only() {
        return Ok(());
    }
    sql::REMOVE_OLDEST_EVENTS.count(&[arg(settings::event_retention_s()), arg(settings::max_events()), arg(most)])?;
    Ok(())
}
