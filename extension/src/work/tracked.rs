//! The row of a tracked resource: which one it is, and what its status is.

use crate::argument;
use crate::conditional_update::{Call, Row};
use crate::error::Error;
use crate::jsonb::Jsonb;
use crate::rule::{self, Resource};
use pgrx::pg_sys::{self, Datum};
use pgrx::{IntoDatum, JsonB};
use std::ffi::CStr;

pub struct Tracked<'a> {
    resource: Resource,
    resource_type: &'a str,
    /// A document that names the row.
    key: Datum,
}

impl<'a> Tracked<'a> {
    pub fn find(resource_type: &'a str, resource_id: &str) -> Result<Self, Error> {
        let resource = rule::resource(resource_type)?.ok_or_else(|| Error::Undefined {
            what: format!("resource type {resource_type} is not tracked"),
            hint: "Call volguard.track_resource first: the work changes the table that it names."
                .to_owned(),
        })?;
        let id_column = resource.id_column.to_string_lossy().into_owned();
        let key = serde_json::Map::from_iter([(id_column, resource_id.into())]);
        let key = JsonB(key.into()).into_datum();
        Ok(Tracked {
            resource,
            resource_type,
            key: key.expect("a document is no NULL"),
        })
    }

    /// An update of the row.
    pub fn update<'c>(
        &self,
        values: Jsonb<'c>,
        expected: Jsonb<'c>,
        filter: Option<Jsonb<'c>>,
    ) -> Call<'c> {
        // SAFETY: a jsonb that was made by this call of ours, whose memory context outlives it.
        let key = unsafe { Jsonb::new(self.key) };
        Call::new(self.resource.target, key, values, expected, filter)
    }

    /// What the row's new status makes the status of the work. A crash rule goes by it, so there must be one.
    pub fn status(&self, row: Row) -> Result<String, Error> {
        let column = self.resource.status_column.to_string_lossy();
        let status = row.text(&column).ok_or_else(|| {
            Error::invalid(
                "values",
                format!("must leave a status in the column \"{column}\", which is neither NULL nor a list nor an object"),
                "Set the status column to what is being done: by it a crash rule knows what to repair.",
            )
        })?;
        let status = match self.is_padded() {
            true => status.trim_end_matches(' '),
            false => &status,
        };
        argument::status(Some(status))?;
        Ok(status.to_owned())
    }

    /// The blanks at the end of a `char(n)` are not part of the value.
    fn is_padded(&self) -> bool {
        let table = self.resource.target;
        let column: &CStr = &self.resource.status_column;
        // SAFETY: catalog look-ups of a running transaction, which answer for what isn't there, too.
        unsafe {
            let number = pg_sys::get_attnum(table, column.as_ptr());
            pg_sys::getBaseType(pg_sys::get_atttype(table, number)) == pg_sys::BPCHAROID
        }
    }

    /// Names what the caller can do something about, where an error is about our own part of the update.
    pub fn explain(&self, error: Error) -> Error {
        let Tracked {
            resource,
            resource_type,
            ..
        } = self;
        let id_column = resource.id_column.to_string_lossy();
        let place = format!("key.{id_column}");
        match error {
            Error::NoTable { place, .. } if place == "target" => Error::Undefined {
                what: format!("the table of resource type {resource_type} does not exist any more"),
                hint: "Call volguard.track_resource with the table that holds its resources now."
                    .to_owned(),
            },
            Error::Column { path, problem, .. } if path == place => Error::Column {
                path: "resource_type".to_owned(),
                problem: format!("{resource_type} is tracked by its id, and {problem}"),
                hint: "Call volguard.track_resource with the columns that the table has now."
                    .to_owned(),
            },
            other => other.moved(&place, "resource_id"),
        }
    }
}
