//! A piece of work that waits, as the index of the queue has it.

use super::columns::Columns;
use pgrx::FromDatum;
use pgrx::pg_sys::{Datum, TimestampTz};

/// A piece of work that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Empty for any.
    pub host: String,
    pub operation: String,
    pub resource_type: String,
    /// The priority with the other sign.
    pub urgency: i32,
    pub not_before: TimestampTz,
    pub work_id: i64,
}

/// Columns of a row that the index has: cluster, host, operation, resource_type, priority, not_before, work_id,
/// service_id.
pub type Row = [Option<Datum>; 8];

impl Columns {
    /// Those of a [`Row`].
    pub fn of_waiting(&self) -> [i16; 8] {
        let [_, resource_type, _] = self.key;
        [
            self.cluster,
            self.host,
            self.operation,
            resource_type,
            self.priority,
            self.not_before,
            self.work_id,
            self.service_id,
        ]
    }
}

impl Waiting {
    /// `None` for a row that doesn't wait.
    pub fn read([_, host, operation, resource_type, priority, not_before, work_id, service]: Row) -> Option<Self> {
        if service.is_some() {
            return None;
        }
        // SAFETY: the fields are of these types, in a copy of the row.
        unsafe {
            let text = |field: Option<Datum>| String::from_datum(field?, false);
            Some(Waiting {
                host: text(host)?,
                operation: text(operation)?,
                resource_type: text(resource_type)?,
                urgency: i32::from_datum(priority?, false)?.checked_neg()?,
                not_before: not_before?.value() as TimestampTz,
                work_id: i64::from_datum(work_id?, false)?,
            })
        }
    }
}
