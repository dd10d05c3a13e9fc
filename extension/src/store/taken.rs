//! Rows of `workers` that a statement has removed, or taken from their holders, and the events that record it.

use super::events::{self, Event, EventKind};
use super::lookup::Held;
use super::removal;
use super::sql::Statement;
use crate::pg::error::Error;
use crate::pg::spi::{Arg, Rows};
use crate::sabotage::{self, Guard};
use serde_json::{Value, json};

/// A lock that is gone.
#[derive(Debug)]
pub struct Taken {
    cluster: String,
    resource_type: String,
    resource_id: String,
    lock_name: String,
    token: i64,
    /// `None`: it was work that waited for a service.
    pub service_id: Option<i64>,
    working: bool,
    /// That of its work, if it is known.
    pub status: Option<String>,
}

/// Removes rows, as [`removal::remove`], and returns what they were.
pub fn take(statement: &Statement, args: &[Arg]) -> Result<Vec<Taken>, Error> {
    removal::remove_reading(statement, args, |rows| rows.each(|row| Taken::read(rows, row)))
}

/// What rows are, as the statement finds them.
pub fn find(statement: &Statement, args: &[Arg]) -> Result<Vec<Taken>, Error> {
    statement.run(args, |rows| rows.each(|row| Taken::read(rows, row)))
}

impl Taken {
    /// A row as a removal returns it.
    fn read(rows: &Rows, row: usize) -> Option<Self> {
        let name = |column| rows.get::<String>(row, column);
        Some(Taken {
            cluster: name(0)?,
            resource_type: name(1)?,
            resource_id: name(2)?,
            lock_name: name(3)?,
            token: rows.get(row, 5)?,
            service_id: rows.get(row, 6),
            working: rows.get(row, 4)?,
            status: name(7),
        })
    }

    /// A row that was removed without a statement.
    pub fn of(held: &Held, cluster: &str) -> Self {
        Taken {
            cluster: cluster.to_owned(),
            resource_type: held.resource_type.clone(),
            resource_id: held.resource_id.clone(),
            lock_name: held.lock_name.clone(),
            token: held.token,
            service_id: Some(held.service_id),
            working: held.working,
            status: None,
        }
    }

    /// Records that it was taken.
    pub fn record(&self, kind: EventKind, details: Value) -> Result<(), Error> {
        events::record(&Event {
            cluster: Some(&self.cluster),
            service_id: self.service_id,
            resource: Some((&self.resource_type, &self.resource_id)),
            lock: Some((&self.lock_name, self.token)),
            details,
            ..Event::of(kind)
        })
    }

    /// Records that a superuser, who has no other right to it, gave it back in place of its holder.
    pub fn record_release(&self, by: &str) -> Result<(), Error> {
        if sabotage::removed(Guard::Foreign) {
            return Ok(());
        }
        self.record(EventKind::Released, json!({"by": by, "work": self.working}))
    }
}
