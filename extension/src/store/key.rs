//! The key of a lock, which is the key of its row in `workers`.

use pgrx::IntoDatum;
use pgrx::pg_sys::Datum;

/// A resource, and the name of one of its locks. The holder's cluster is no part of it: a volume is one volume.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub resource_type: &'a str,
    pub resource_id: &'a str,
    pub lock_name: &'a str,
    datums: [Datum; 3],
}

impl<'a> Key<'a> {
    /// The Datums are made once a call, in the current memory context.
    pub fn new(resource_type: &'a str, resource_id: &'a str, lock_name: &'a str) -> Self {
        let datum = |name: &str| name.into_datum().unwrap_or(Datum::null());
        Key { resource_type, resource_id, lock_name, datums: [resource_id, resource_type, lock_name].map(datum) }
    }

    /// In the order of the table's key: `resource_id`, `resource_type`, `lock_name`.
    pub fn datums(&self) -> [Datum; 3] {
        self.datums
    }
}
