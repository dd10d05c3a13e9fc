//! Lookups of clusters: their owners, and the marks that keep services from work.
//!
//! Each has what it needs of the tables for itself: what was done to a column stops no verb that does not read it.

use super::index_scan;
use super::indexes::{Entries, usable};
use super::lookup::{fields, is_true};
use super::scan_key;
use super::tables::{self, Kept, column, table};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::version;
use pgrx::pg_sys::{BOOLOID, Datum, NAMEOID, Oid, TEXTOID};
use pgrx::{FromDatum, IntoDatum};
use std::cell::Cell;
use std::ffi::CStr;

thread_local! {
    static OWNERS: Cell<Kept<Owners>> = const { Cell::new(None) };
    static MARKS: Cell<Kept<Marks>> = const { Cell::new(None) };
}

/// The table of clusters.
#[derive(Clone, Copy, PartialEq)]
struct Clusters {
    table: Oid,
    key: Oid,
    name: i16,
}

impl Clusters {
    fn look_up() -> Result<Self, Error> {
        version::check()?;
        let table = table(c"clusters")?;
        let name = column(table, c"name", TEXTOID)?;
        Ok(Clusters { table, key: usable(c"clusters_pkey", table, &[name], Entries::All), name })
    }

    /// A column of a cluster, in a copy of its row; `None` if there is no such cluster.
    fn find(&self, name: &str, column: i16) -> Result<Option<Option<Datum>>, Error> {
        let Some(name) = name.into_datum() else { return Ok(None) };
        // SAFETY: the table is locked, and the name is a text; the closures own nothing, and the copy of the row
        // outlives the scan.
        let found = unsafe {
            catching(|| {
                let mut keys = [scan_key::equals_text(self.name, name)];
                index_scan::first(self.table, self.key, &mut keys, true, |table, _, row| {
                    Some(fields(table, raw::heap_copytuple(row), [column]))
                })
            })?
        };
        Ok(found.map(|[field]| field))
    }
}

/// The owners of clusters. The table is locked for a read.
#[derive(Clone, Copy, PartialEq)]
pub struct Owners {
    clusters: Clusters,
    owner: i16,
}

impl Owners {
    pub fn open() -> Result<Self, Error> {
        let look_up = || {
            let clusters = Clusters::look_up()?;
            Ok(Owners { clusters, owner: column(clusters.table, c"owner", NAMEOID)? })
        };
        tables::kept(&OWNERS, look_up, |owners| [owners.clusters.table])
    }

    /// The owner of a cluster, if it has one; `None` if there is no such cluster.
    pub fn of(&self, cluster: &str) -> Result<Option<Option<String>>, Error> {
        let read = |owner: Option<Datum>| {
            // SAFETY: a name in a copy of the row.
            owner.and_then(|owner| unsafe { <&CStr>::from_datum(owner, false) })
        };
        let found = self.clusters.find(cluster, self.owner)?;
        Ok(found.map(|owner| read(owner).map(|owner| owner.to_string_lossy().into_owned())))
    }
}

/// The marks that services and clusters are disabled. The table of clusters is locked for a read.
#[derive(Clone, Copy, PartialEq)]
pub struct Marks {
    clusters: Clusters,
    of_cluster: i16,
    /// A column of `services`.
    pub of_service: i16,
}

impl Marks {
    pub fn open() -> Result<Self, Error> {
        let look_up = || {
            let clusters = Clusters::look_up()?;
            let of_cluster = column(clusters.table, c"disabled", BOOLOID)?;
            Ok(Marks { clusters, of_cluster, of_service: column(table(c"services")?, c"disabled", BOOLOID)? })
        };
        tables::kept(&MARKS, look_up, |marks| [marks.clusters.table])
    }

    /// Whether a cluster is disabled.
    pub fn on(&self, cluster: &str) -> Result<bool, Error> {
        Ok(self.clusters.find(cluster, self.of_cluster)?.is_some_and(is_true))
    }
}
