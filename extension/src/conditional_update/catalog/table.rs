//! The table that an update is for: its name, its columns, and how its types compare.

use super::{unique, view};
use crate::conditional_update::sql::bind;
use crate::conditional_update::sql::writer::Row;
use crate::input::document::{Path, clipped};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString, c_char};
use std::fmt::Display;

/// A table, locked until the transaction ends as a statement on it locks it, so that what was looked up stays true.
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
    /// Unless a constraint says that it can't be NULL.
    pub nullable: bool,
}

impl Row<'_> {
    /// A column of this row as SQL.
    pub fn column(&self, column: &Column) -> String {
        format!("{}.{}", self.alias, column.name)
    }
}

impl Table {
    /// A table to update.
    pub fn open(oid: Oid) -> Result<Self, Error> {
        Table::lock(oid, pg_sys::RowExclusiveLock, &"target")?.if_table()
    }

    /// A table to update, or a view that stands for one.
    pub fn open_or_view(oid: Oid) -> Result<Self, Error> {
        let table = Table::lock(oid, pg_sys::RowExclusiveLock, &"target")?;
        match table.kind() {
            pg_sys::RELKIND_VIEW if view::is_updatable(table.relation) => Ok(table),
            pg_sys::RELKIND_VIEW => Err(Error::NotUpdatable {
                view: table.name.clone(),
            }),
            _ => table.if_table(),
        }
    }

    fn if_table(self) -> Result<Self, Error> {
        match self.kind() {
            pg_sys::RELKIND_RELATION | pg_sys::RELKIND_PARTITIONED_TABLE => Ok(self),
            kind => Err(Error::NotATable {
                name: self.name.clone(),
                kind: describe(kind),
            }),
        }
    }

    /// Anything to read from, by a name that means what it means to SQL of the caller.
    pub fn open_named(name: &str, path: &Path) -> Result<Self, Error> {
        let place = path.to_string();
        let datum = bind::read(name, pg_sys::REGCLASSOID, -1, &place)?;
        let oid = Oid::from(datum.value() as u32);
        let table = Table::lock(oid, pg_sys::AccessShareLock, &format!("{place}:"))?;
        match table.kind() {
            pg_sys::RELKIND_RELATION
            | pg_sys::RELKIND_PARTITIONED_TABLE
            | pg_sys::RELKIND_FOREIGN_TABLE
            | pg_sys::RELKIND_VIEW
            | pg_sys::RELKIND_MATVIEW => Ok(table),
            kind => Err(Error::NotATable {
                name: format!("{place}: {}", table.name),
                kind: describe(kind),
            }),
        }
    }

    fn lock(oid: Oid, mode: u32, place: &dyn Display) -> Result<Self, Error> {
        // SAFETY: the closure owns nothing; a relation that is there stays open until Drop.
        unsafe {
            let relation = catching(|| raw::try_relation_open(oid, mode as i32))?;
            if relation.is_null() {
                let place = place.to_string();
                return Err(Error::NoTable { place, oid });
            }
            Ok(Table {
                relation,
                name: relation_name(oid),
            })
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

    pub fn is_view(&self) -> bool {
        self.kind() == pg_sys::RELKIND_VIEW
    }

    fn kind(&self) -> u8 {
        self.form().relkind as u8
    }

    /// Looks a column up by the name that a document has at `path`.
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

    /// System columns and dropped ones are not found.
    fn find(&self, name: &str) -> Option<Column> {
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
                // What a parent forbids, its children may have.
                nullable: !(*form).attnotnull || self.has_children(),
            };
            pg_sys::ReleaseSysCache(tuple);
            (column.number > 0).then_some(column)
        }
    }

    /// The column that was probably meant.
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
            .filter(|(distance, actual)| {
                *distance as usize <= actual.len() / 2 && self.find(actual).is_some()
            })
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, actual)| actual)
    }

    /// Do these columns, none of them NULL, belong to at most one row by a constraint?
    pub fn is_unique(&self, columns: &[Column]) -> bool {
        !self.is_view() && !self.has_children() && unique::any_within(self, columns)
    }

    /// A table whose rows are all its own.
    pub fn stands_alone(&self) -> bool {
        self.kind() == pg_sys::RELKIND_RELATION && !self.has_children()
    }

    pub fn relation(&self) -> pg_sys::Relation {
        self.relation
    }

    /// A constraint of a parent says nothing about the rows of its children; one of a partitioned table does.
    fn has_children(&self) -> bool {
        self.kind() == pg_sys::RELKIND_RELATION && self.form().relhassubclass
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once; the lock stays.
        unsafe { pg_sys::relation_close(self.relation, pg_sys::NoLock as i32) };
    }
}

/// Copies a C string that a look-up allocated.
///
/// # Safety
/// `text` is a C string.
pub unsafe fn owned(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

fn quoted(name: &CStr) -> String {
    // SAFETY: takes and returns C strings.
    unsafe { owned(pg_sys::quote_identifier(name.as_ptr())) }
}

/// The name of a relation, qualified and quoted; its number if there is none of that number.
pub fn relation_name(oid: Oid) -> String {
    // SAFETY: catalog look-ups of a running transaction, which return C strings or null.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid));
        if name.is_null() || schema.is_null() {
            return oid.to_u32().to_string();
        }
        owned(pg_sys::quote_qualified_identifier(schema, name))
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

/// How many letters apart two names are, unless that is more than `at_most`.
fn distance(a: &str, b: &str, at_most: i32) -> Option<i32> {
    /// What varstr_levenshtein_less_equal takes; a longer name is no column's.
    const LONGEST: usize = 255;
    if a.len() > LONGEST {
        return None;
    }
    let (a_length, b_length) = (a.len() as i32, b.len() as i32);
    // SAFETY: two texts with their lengths in bytes.
    let distance = unsafe {
        pg_sys::varstr_levenshtein_less_equal(
            a.as_ptr().cast(),
            a_length,
            b.as_ptr().cast(),
            b_length,
            1,
            1,
            1,
            at_most,
            true,
        )
    };
    (distance <= at_most).then_some(distance)
}
