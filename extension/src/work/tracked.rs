//! The row of a tracked resource: its key and its status.

use super::superuser;
use crate::cleanup::permission;
use crate::cleanup::trust::{self, Locking, Trust};
use crate::conditional_update::{Call, Documents, UpdatedRow, changes_the_id, relation_name};
use crate::input::argument;
use crate::input::jsonb::Jsonb;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::owner;
use crate::sabotage::{self, Guard};
use crate::store::tracked::{Resource, no_table};
use pgrx::pg_sys::{self, Oid};
use std::borrow::Cow;

/// The columns that a call sets.
pub fn changed(documents: &[Jsonb]) -> Vec<String> {
    let mut names = Vec::new();
    for document in documents {
        document.each_member(|name, _| names.push(String::from_utf8_lossy(name).into_owned()));
    }
    names
}

fn tracked(resource_type: &str) -> Result<Resource, Error> {
    Resource::look_up(resource_type)?.ok_or_else(|| Error::Undefined {
        what: format!("resource type {resource_type} is not tracked"),
        hint: "Call volguard.track_resource first: the work changes the table that it names.".to_owned(),
    })
}

pub struct Tracked<'a> {
    resource: Resource,
    resource_type: &'a str,
    /// A document that names the row.
    key: Jsonb<'a>,
}

impl<'a> Tracked<'a> {
    /// The row of an id in its one spelling.
    pub fn find(resource_type: &'a str, resource_id: &str) -> Result<Self, Error> {
        Ok(Tracked::of(tracked(resource_type)?, resource_type, resource_id))
    }

    /// The row of an id as a caller spells it, and its one spelling.
    pub fn find_spelled<'i>(resource_type: &'a str, resource_id: &'i str) -> Result<(Self, Cow<'i, str>), Error> {
        let resource = tracked(resource_type)?;
        let resource_id = resource.spelling.spell(resource_id, "resource_id")?;
        Ok((Tracked::of(resource, resource_type, &resource_id), resource_id))
    }

    fn of(resource: Resource, resource_type: &'a str, resource_id: &str) -> Self {
        let key = Jsonb::of_text(&resource.id_column.to_string_lossy(), resource_id);
        Tracked { resource, resource_type, key }
    }

    /// An update of the row. An error if it changes the id.
    pub fn update<'c>(&self, documents: Documents<'c>) -> Result<Call<'c>, Error>
    where
        'a: 'c,
    {
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
        Ok(Call::of_id(self.resource.target, self.key, documents))
    }

    /// Is this the table of the type, if the caller names one? A superuser must, unless the table, and all that an
    /// update of these columns runs, are superusers': it runs with the rights of the caller.
    pub fn check_target(&self, target: Option<Oid>, changed: &[String]) -> Result<(), Error> {
        match target {
            None if self.is_guarded()? => {
                lookup_locks::given_back(|| self.require_superusers_code(changed, Locking::Nothing))
            }
            Some(target) if target != self.resource.target => {
                let (given, actual) = (relation_name(target), relation_name(self.resource.target));
                let problem = format!("is {given}, but resource type {} is tracked in {actual}", self.resource_type);
                let hint = "Pass the table that volguard.track_resource was called with, or NULL.";
                Err(Error::invalid("target", problem, hint))
            }
            _ => Ok(()),
        }
    }

    /// The same, right before the update: nothing is put there in between.
    pub fn check_before_update(&self, target: Option<Oid>, changed: &[String]) -> Result<(), Error> {
        if target.is_some() || !self.is_guarded()? {
            return Ok(());
        }
        let table = self.resource.target;
        // SAFETY: a lock by the table's oid, which the update takes as well; the closure owns nothing.
        unsafe { catching(|| raw::LockRelationOid(table, pg_sys::RowExclusiveLock as i32))? };
        self.require_superusers_code(changed, Locking::Waiting)
    }

    fn is_guarded(&self) -> Result<bool, Error> {
        Ok(!sabotage::removed(Guard::NamedTable) && superuser::caller_can_be()?)
    }

    fn require_superusers_code(&self, changed: &[String], locking: Locking) -> Result<(), Error> {
        let refused = |why: &str| Error::Denied {
            what: format!("a superuser must name the table of {}: {why}", self.resource_type),
            hint: "Pass target => that table if what it runs can be trusted, or act as another role.",
        };
        let (table, owner) = (self.resource.target, self.resource.owner(self.resource_type)?);
        if !owner::is_superuser(owner) {
            let (table, owner) = (relation_name(table), owner::name(owner));
            return Err(refused(&format!("{table} belongs to {owner}, whose triggers would run as superuser")));
        }
        if sabotage::removed(Guard::SuperusersCode) {
            return Ok(());
        }
        let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        match trust::on_tables(
            table,
            pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID),
            trust::Act::Update(&changed),
            locking,
        )? {
            Trust::Given => Ok(()),
            Trust::Locked(_) => Err(Error::LockTimeout),
            Trust::Refused(why, _) => Err(refused(&why)),
        }
    }

    pub fn target(&self) -> Oid {
        self.resource.target
    }

    /// The role that registered the service must be allowed to have the row changed after a crash.
    pub fn require_permission(&self, role: Oid) -> Result<(), Error> {
        permission::to_update(self.resource_type, self.resource.target, &self.resource.status_column, role)
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
            Error::NoTable { place, .. } if place == "target" => no_table(resource_type),
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
