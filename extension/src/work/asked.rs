//! The arguments that all calls with which work begins share: which resource, and which change of its row.

use crate::conditional_update::Documents;
use crate::input::argument::{self, required};
use crate::input::jsonb::Jsonb;
use crate::pg::error::Error;
use crate::store::key::Key;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum};
use pgrx::pg_sys::{FunctionCallInfo, Oid};

pub struct Asked<'c> {
    pub resource_type: String,
    pub resource_id: String,
    lock_name: String,
    changes: Jsonb<'c>,
    expected: Jsonb<'c>,
    filter: Option<Jsonb<'c>>,
    pub target: Option<Oid>,
    filter_sql: Option<String>,
    changes_sql: Option<Jsonb<'c>>,
}

impl Asked<'_> {
    /// Type, id, changes, expected and filter are the arguments after the first one; the name of the lock is where the
    /// caller says, and so is the target, which `filter_sql` and `changes_sql` follow.
    ///
    /// # Safety
    /// `fcinfo` holds these arguments, of their types; they outlive the value, as does the current memory context.
    pub unsafe fn read(fcinfo: FunctionCallInfo, lock_name: usize, target: usize) -> Result<Self, Error> {
        // SAFETY: each argument is read as its declared type.
        unsafe {
            let text = |number| pg_getarg::<String>(fcinfo, number);
            let document = |number| pg_getarg_datum(fcinfo, number).map(|datum| Jsonb::new(datum));
            let (resource_type, resource_id, lock_name) = (text(1), text(2), text(lock_name));
            argument::name("resource_type", resource_type.as_deref())?;
            argument::resource_id(resource_id.as_deref())?;
            argument::lock_name(lock_name.as_deref())?;
            Ok(Asked {
                resource_type: required("resource_type", resource_type)?,
                resource_id: required("resource_id", resource_id)?,
                lock_name: lock_name.unwrap_or_default(),
                changes: required("changes", document(3))?,
                expected: document(4).unwrap_or_else(Jsonb::empty),
                filter: document(5),
                target: pg_getarg(fcinfo, target),
                filter_sql: text(target + 1),
                changes_sql: document(target + 2),
            })
        }
    }

    pub fn documents(&self) -> Documents<'_> {
        Documents {
            changes: self.changes,
            expected: self.expected,
            filter: self.filter,
            filter_sql: self.filter_sql.as_deref(),
            changes_sql: self.changes_sql,
        }
    }

    /// The key of the resource with this id, which is the one that was asked for as its column spells it.
    pub fn key<'k>(&'k self, resource_id: &'k str) -> Key<'k> {
        Key::new(&self.resource_type, resource_id, &self.lock_name)
    }
}
