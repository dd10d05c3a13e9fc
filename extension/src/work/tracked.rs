//! The row of a tracked resource: its key and its status.

use crate::conditional_update::{Call, Documents, UpdatedRow, changes_the_id, relation_name};
use crate::input::argument;
use crate::input::jsonb::Jsonb;
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::store::tracked::Resource;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{IntoDatum, JsonB};

pub struct Tracked<'a> {
    resource: Resource,
    resource_type: &'a str,
    /// A document that names the row.
    key: Datum,
}

impl<'a> Tracked<'a> {
    pub fn find(resource_type: &'a str, resource_id: &str) -> Result<Self, Error> {
        let found = lookup_locks::given_back(|| Resource::find(resource_type))?;
        let resource = found.ok_or_else(|| Error::Undefined {
            what: format!("resource type {resource_type} is not tracked"),
            hint: "Call volguard.track_resource first: the work changes the table that it names.".to_owned(),
        })?;
        let id_column = resource.id_column.to_string_lossy().into_owned();
        let key = serde_json::Map::from_iter([(id_column, resource_id.into())]);
        let key = JsonB(key.into()).into_datum();
        Ok(Tracked { resource, resource_type, key: key.expect("a document is no NULL") })
    }

    /// An update of the row. An error if it changes the id.
    pub fn update<'c>(&self, documents: Documents<'c>) -> Result<Call<'c>, Error> {
        let id_column = self.resource.id_column.to_bytes();
        let has_id = |document: Jsonb| {
            let mut has_id = false;
            document.each_member(|name, _| has_id |= name == id_column);
            has_id
        };
        let id_column = || self.resource.id_column.to_string_lossy();
        if has_id(documents.changes) {
            return Err(changes_the_id("changes", &id_column()));
        }
        if documents.changes_sql.is_some_and(has_id) {
            return Err(changes_the_id("changes_sql", &id_column()));
        }
        // SAFETY: a jsonb that was made by this call of ours, whose memory context outlives it.
        let key = unsafe { Jsonb::new(self.key) };
        Ok(Call::of_id(self.resource.target, key, documents))
    }

    /// Is this the table of the type, if the caller names one?
    pub fn check_target(&self, target: Option<Oid>) -> Result<(), Error> {
        match target {
            Some(target) if target != self.resource.target => {
                let (given, actual) = (relation_name(target), relation_name(self.resource.target));
                let problem = format!("is {given}, but resource type {} is tracked in {actual}", self.resource_type);
                let hint = "Pass the table that volguard.track_resource was called with, or NULL.";
                Err(Error::invalid("target", problem, hint))
            }
            _ => Ok(()),
        }
    }

    /// The row's new status, which becomes the status of the work. Crash rules are found by it, so it must not be NULL.
    pub fn status(&self, row: UpdatedRow) -> Result<String, Error> {
        let column = self.resource.status_column.to_string_lossy();
        let Some(column_type) = self.status_type() else {
            let problem = format!("the table has no column \"{column}\"");
            return Err(self.changed("status", &problem));
        };
        let Some(status) = row.text(&column) else {
            let problem = format!("must leave a scalar in the column \"{column}\", not NULL");
            let hint = "Set the status column to what is being done: the crash rule for that status repairs it.";
            return Err(Error::invalid("changes", problem, hint));
        };
        // Blanks at the end of a char(n) are not part of its value.
        let status = match column_type {
            pg_sys::BPCHAROID => status.trim_end_matches(' '),
            _ => &status,
        };
        argument::status(Some(status))?;
        Ok(status.to_owned())
    }

    fn status_type(&self) -> Option<Oid> {
        let table = self.resource.target;
        // SAFETY: catalog look-ups of a running transaction, about a table that it has locked.
        unsafe {
            let number = pg_sys::get_attnum(table, self.resource.status_column.as_ptr());
            (number > 0).then(|| pg_sys::getBaseType(pg_sys::get_atttype(table, number)))
        }
    }

    /// Rewrites an error about our own part of the update, so that it names what the caller can change.
    pub fn explain(&self, error: Error) -> Error {
        let Tracked { resource, resource_type, .. } = self;
        let id_column = resource.id_column.to_string_lossy();
        let place = format!("key.{id_column}");
        match error {
            Error::NoTable { place, .. } if place == "target" => Error::Undefined {
                what: format!("the table of resource type {resource_type} does not exist any more"),
                hint: "Call volguard.track_resource with the table that holds its resources now.".to_owned(),
            },
            Error::Column { path, problem, .. } if path == place => self.changed("id", &problem),
            Error::Ambiguous { .. } => Error::Ambiguous {
                what: format!("several rows have the id of that {resource_type}"),
                hint: "The id column must identify one row.",
            },
            other => other.moved(&place, "resource_id"),
        }
    }

    /// The table has changed since it was tracked.
    fn changed(&self, column: &str, problem: &str) -> Error {
        Error::Column {
            path: "resource_type".to_owned(),
            problem: format!("{} is tracked by its {column}, and {problem}", self.resource_type),
            hint: "Call volguard.track_resource with the columns that the table has now.".to_owned(),
        }
    }
}
