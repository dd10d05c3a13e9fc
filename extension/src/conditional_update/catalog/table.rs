//! A table that an update changes or reads: its lock, its name and its columns.

use super::names::{distance, owned, quoted, relation_name};
use super::{rules, view};
use crate::input::document::{Path, clipped};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};
use std::ffi::CString;
use std::fmt::Display;

/// An open table. It keeps the lock of a statement until the transaction ends, so that what was looked up stays true.
#[derive(Debug)]
pub struct Table {
    relation: pg_sys::Relation,
    /// Qualified and quoted.
    pub name: String,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    pub number: i16,
    /// Quoted.
    pub name: String,
    pub type_oid: Oid,
    pub typmod: i32,
    pub collation: Oid,
    /// True unless a constraint forbids NULL.
    pub nullable: bool,
}

impl Table {
    /// A table to update.
    pub fn open(oid: Oid) -> Result<Self, Error> {
        Table::lock(oid, pg_sys::RowExclusiveLock, "target")?.if_table()
    }

    /// A table to update, or a view through which one is updated.
    pub fn open_or_view(oid: Oid) -> Result<Self, Error> {
        let table = Table::lock(oid, pg_sys::RowExclusiveLock, "target")?;
        match table.kind() {
            pg_sys::RELKIND_VIEW if view::is_updatable(table.relation) => Ok(table),
            pg_sys::RELKIND_VIEW => Err(Error::NotUpdatable { view: table.name.clone() }),
            _ => table.if_table(),
        }
    }

    fn if_table(self) -> Result<Self, Error> {
        match self.kind() {
            pg_sys::RELKIND_RELATION | pg_sys::RELKIND_PARTITIONED_TABLE if rules::replace_update(self.relation) => {
                Err(Error::Replaced { table: self.name.clone() })
            }
            pg_sys::RELKIND_RELATION | pg_sys::RELKIND_PARTITIONED_TABLE => Ok(self),
            kind => Err(Error::NotATable { name: self.name.clone(), kind: describe(kind) }),
        }
    }

    /// Any relation that SQL can read from. `path` is where a document names it.
    pub fn open_to_read(oid: Oid, path: &Path) -> Result<Self, Error> {
        let table = Table::lock(oid, pg_sys::AccessShareLock, &format!("{path}:"))?;
        match table.kind() {
            pg_sys::RELKIND_RELATION
            | pg_sys::RELKIND_PARTITIONED_TABLE
            | pg_sys::RELKIND_FOREIGN_TABLE
            | pg_sys::RELKIND_VIEW
            | pg_sys::RELKIND_MATVIEW => Ok(table),
            kind => Err(Error::NotATable { name: format!("{path}: {}", table.name), kind: describe(kind) }),
        }
    }

    fn lock(oid: Oid, mode: u32, argument: &str) -> Result<Self, Error> {
        // SAFETY: the closure owns nothing; an open relation stays open until Drop.
        unsafe {
            let relation = catching(|| raw::try_relation_open(oid, mode as i32))?;
            if relation.is_null() {
                let place = argument.to_owned();
                return Err(Error::NoTable { place, oid });
            }
            Ok(Table { relation, name: relation_name(oid) })
        }
    }

    fn form(&self) -> &pg_sys::FormData_pg_class {
        // SAFETY: an open relation has its pg_class row in memory.
        unsafe { &*(*self.relation).rd_rel }
    }

    pub fn oid(&self) -> Oid {
        // SAFETY: an open relation.
        unsafe { (*self.relation).rd_id }
    }

    /// Without its schema, and not quoted.
    pub fn own_name(&self) -> String {
        // SAFETY: a name is a C string.
        unsafe { owned(self.form().relname.data.as_ptr()) }
    }

    pub fn is_view(&self) -> bool {
        self.kind() == pg_sys::RELKIND_VIEW
    }

    fn kind(&self) -> u8 {
        self.form().relkind as u8
    }

    /// Looks up a column by its name, which a document has at `path`.
    pub fn column(&self, name: &str, path: &impl Display) -> Result<Column, Error> {
        self.find(name).ok_or_else(|| Error::Column {
            path: path.to_string(),
            problem: format!("column \"{}\" of {} does not exist", clipped(name), self.name),
            hint: match self.similar(name) {
                Some(similar) => format!("Perhaps you meant \"{similar}\"."),
                None => "Name a column of the table as the table spells it; system columns can't be used.".to_owned(),
            },
        })
    }

    /// All columns.
    pub fn columns(&self) -> Vec<Column> {
        (1..=self.form().relnatts).filter_map(|number| self.column_at(number)).collect()
    }

    /// The column with this number. `None` if it is dropped.
    pub fn column_at(&self, number: i16) -> Option<Column> {
        // SAFETY: get_attname returns a C string, or null for a number without a column.
        let name = unsafe {
            let name = pg_sys::get_attname(self.oid(), number, true);
            (!name.is_null()).then(|| owned(name))
        };
        self.find(&name?)
    }

    /// Does not find system columns and dropped columns.
    pub fn find(&self, name: &str) -> Option<Column> {
        let name = CString::new(name).ok()?;
        // SAFETY: a C string; the tuple is released after the fields were copied.
        unsafe {
            let tuple = pg_sys::SearchSysCacheAttName(self.oid(), name.as_ptr());
            if tuple.is_null() {
                return None;
            }
            let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_attribute>(tuple);
            let column = Column {
                number: (*form).attnum,
                name: quoted(&name),
                type_oid: (*form).atttypid,
                typmod: (*form).atttypmod,
                collation: (*form).attcollation,
                // A child table may have NULL where its parent forbids it.
                nullable: !self.forbids_null(&*form) || self.has_children(),
            };
            pg_sys::ReleaseSysCache(tuple);
            (column.number > 0).then_some(column)
        }
    }

    /// Does a constraint keep NULLs out of the column?
    #[cfg(not(feature = "pg18"))]
    fn forbids_null(&self, column: &pg_sys::FormData_pg_attribute) -> bool {
        column.attnotnull
    }

    /// As above. From Postgres 18 on a constraint that is not validated sets the mark of the column, too, and leaves the
    /// NULLs that are there.
    #[cfg(feature = "pg18")]
    fn forbids_null(&self, column: &pg_sys::FormData_pg_attribute) -> bool {
        if column.attnum <= 0 {
            return false;
        }
        // SAFETY: the relation is open, and a column with a number above 0 is in its descriptor.
        unsafe {
            let compact = pg_sys::TupleDescCompactAttr((*self.relation).rd_att, i32::from(column.attnum) - 1);
            (*compact).attnullability as u8 == pg_sys::ATTNULLABLE_VALID
        }
    }

    /// The column whose name is nearest, if it is near.
    fn similar(&self, name: &str) -> Option<String> {
        const FAR: i32 = 3;
        let names = (1..=self.form().relnatts).filter_map(|number| {
            // SAFETY: get_attname returns a C string, or null for a number without a column.
            let name = unsafe { pg_sys::get_attname(self.oid(), number, true) };
            // SAFETY: as above.
            (!name.is_null()).then(|| unsafe { owned(name) })
        });
        names
            .filter_map(|actual| Some((distance(name, &actual, FAR)?, actual)))
            .filter(|(distance, actual)| *distance as usize <= actual.len() / 2 && self.find(actual).is_some())
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, actual)| actual)
    }

    /// Is it a plain table without children?
    pub fn stands_alone(&self) -> bool {
        self.kind() == pg_sys::RELKIND_RELATION && !self.has_children()
    }

    /// Is it stored as Postgres stores tables by itself?
    pub fn is_heap(&self) -> bool {
        self.form().relam == pg_sys::HEAP_TABLE_AM_OID
    }

    /// A view whose definition has a sub-query: through it, an update reads more than the row.
    pub fn is_view_on_others(&self) -> bool {
        self.is_view() && view::has_sub_queries(self.relation)
    }

    pub fn relation(&self) -> pg_sys::Relation {
        self.relation
    }

    /// A constraint of a parent does not hold for the rows of its children, unlike one of a partitioned table.
    pub fn has_children(&self) -> bool {
        self.kind() == pg_sys::RELKIND_RELATION && self.form().relhassubclass
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: opened by `lock`, closed once; the lock on it stays.
        unsafe { pg_sys::relation_close(self.relation, pg_sys::NoLock as i32) };
    }
}

fn describe(kind: u8) -> &'static str {
    match kind {
        pg_sys::RELKIND_VIEW => "a view",
        pg_sys::RELKIND_MATVIEW => "a materialized view",
        pg_sys::RELKIND_FOREIGN_TABLE => "a foreign table",
        pg_sys::RELKIND_SEQUENCE => "a sequence",
        pg_sys::RELKIND_INDEX | pg_sys::RELKIND_PARTITIONED_INDEX => "an index",
        pg_sys::RELKIND_COMPOSITE_TYPE => "a composite type",
        _ => "not a table",
    }
}
