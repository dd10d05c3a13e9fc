//! Lookups of tracked resource types and of crash rules.

use super::index_scan;
use super::lookup::fields;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys::{Datum, Oid};
use pgrx::{FromDatum, IntoDatum};
use std::ffi::{CStr, CString};

/// The table that holds the resources of a type.
pub struct Resource {
    pub target: Oid,
    pub id_column: CString,
    pub status_column: CString,
    pub registered_by: Oid,
}

impl Resource {
    /// `None` if the type isn't tracked.
    pub fn find(resource_type: &str) -> Result<Option<Self>, Error> {
        let tables = Tables::open_rules()?;
        let [key, columns @ ..] = tables.resource_columns;
        let Some(value) = resource_type.into_datum() else { return Ok(None) };
        // SAFETY: the table is locked, the key's column is a text; the closures own nothing, and the copy of the row
        // outlives the scan.
        let found = unsafe {
            catching(|| {
                let mut keys = [index_scan::equals_text(key, value)];
                let (table, index) = (tables.resources, tables.resources_key);
                index_scan::first(table, index, &mut keys, true, |table, _, row| {
                    Some(fields(table, raw::heap_copytuple(row), columns))
                })
            })?
        };
        let read = |[target, id_column, status_column, registered_by]: [Option<Datum>; 4]| {
            // SAFETY: a regclass and a regrole, which are oids, in a copy of the row.
            let oid = |field: Option<Datum>| unsafe { Oid::from_datum(field?, false) };
            // SAFETY: two names in a copy of the row.
            let name = |field: Option<Datum>| unsafe { <&CStr>::from_datum(field?, false).map(CString::from) };
            Some(Resource {
                target: oid(target)?,
                id_column: name(id_column)?,
                status_column: name(status_column)?,
                registered_by: oid(registered_by)?,
            })
        };
        Ok(found.and_then(read))
    }
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
                [index_scan::equals_text(columns[0], resource_type), index_scan::equals_text(columns[1], status)];
            index_scan::first(tables.crash_rules, tables.crash_rules_key, &mut keys, true, |_, _, _| Some(()))
        })?
    };
    Ok(found.is_some())
}
