//! Lookups of tracked resource types and of crash rules.

use super::index_scan;
use super::lookup::fields;
use super::scan_key;
use super::spelling::Spelling;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::{lookup_locks, owner};
use pgrx::pg_sys::{Datum, Oid};
use pgrx::{FromDatum, IntoDatum};
use std::ffi::{CStr, CString};

/// The table that holds the resources of a type.
#[derive(Debug)]
pub struct Resource {
    pub target: Oid,
    pub id_column: CString,
    pub status_column: CString,
    pub spelling: Spelling,
}

impl Resource {
    /// The role that owns the table, to which the type belongs. An error if the table is gone.
    pub fn owner(&self, resource_type: &str) -> Result<Oid, Error> {
        owner::of_relation(self.target).ok_or_else(|| no_table(resource_type))
    }

    /// `None` if the type isn't tracked.
    pub fn find(resource_type: &str) -> Result<Option<Self>, Error> {
        let tables = Tables::open_resources()?;
        let [key, columns @ ..] = tables.resource_columns;
        let Some(value) = resource_type.into_datum() else { return Ok(None) };
        // SAFETY: the table is locked, the key's column is a text; the closures own nothing, and the copy of the row
        // outlives the scan.
        let found = unsafe {
            catching(|| {
                let mut keys = [scan_key::equals_text(key, value)];
                let (table, index) = (tables.resources, tables.resources_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    Some(fields(table, raw::heap_copytuple(row), columns))
                })
            })?
        };
        Ok(found.and_then(Resource::read))
    }

    /// As [`Resource::find`], and leaves no lock on a table of ours.
    pub fn look_up(resource_type: &str) -> Result<Option<Self>, Error> {
        lookup_locks::given_back(|| Resource::find(resource_type))
    }

    /// All rows of the type: at most one committed row, but perhaps several uncommitted.
    pub fn versions(resource_type: &str) -> Result<Vec<Self>, Error> {
        lookup_locks::given_back(|| {
            let tables = Tables::open_resources()?;
            let [key, columns @ ..] = tables.resource_columns;
            let Some(value) = resource_type.into_datum() else { return Ok(Vec::new()) };
            // SAFETY: the table is locked, and the key's column is a text.
            let rows = unsafe { index_scan::dirty(tables.resources, tables.resources_key, (key, value), columns)? };
            Ok(rows.into_iter().filter_map(Resource::read).collect())
        })
    }

    fn read([target, id_column, status_column, id_type]: [Option<Datum>; 4]) -> Option<Self> {
        // SAFETY: a regclass and a regtype, which are oids, and two names, in a copy of the row.
        unsafe {
            let name = |field: Option<Datum>| <&CStr>::from_datum(field?, false).map(CString::from);
            Some(Resource {
                target: Oid::from_datum(target?, false)?,
                id_column: name(id_column)?,
                status_column: name(status_column)?,
                spelling: Spelling(Oid::from_datum(id_type?, false)?),
            })
        }
    }
}

/// The error for a type whose table was dropped.
pub fn no_table(resource_type: &str) -> Error {
    const HINT: &str =
        "Call volguard.track_resource with the table that holds its resources now, or volguard.untrack_resource.";
    let what = format!("the table of resource type {resource_type} does not exist any more");
    Error::Undefined { what, hint: HINT.to_owned() }
}

/// Whether there is a crash rule for this status.
pub fn has_rule(resource_type: &str, status: &str) -> Result<bool, Error> {
    let tables = Tables::open_rules()?;
    let columns = tables.rule_columns;
    let (Some(resource_type), Some(status)) = (resource_type.into_datum(), status.into_datum()) else {
        return Ok(false);
    };
    // SAFETY: the table is locked, the key's columns are texts; the closures own nothing.
    let found = unsafe {
        catching(|| {
            let mut keys =
                [scan_key::equals_text(columns[0], resource_type), scan_key::equals_text(columns[1], status)];
            index_scan::first(tables.crash_rules, tables.crash_rules_key, &mut keys, true, |_, _, _| Some(()))
        })?
    };
    Ok(found.is_some())
}
