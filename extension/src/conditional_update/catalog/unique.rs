//! Which columns identify a row, by the table's unique indexes.

use super::operators::base_type;
use super::table::{Column, Table};
use pgrx::pg_sys::{self, Datum, Oid};

/// A column of a unique index, and the function that finds equal values in the index.
#[derive(Clone, Copy, Debug)]
pub struct KeyColumn {
    pub number: i16,
    pub collation: Oid,
    pub equals: Oid,
}

/// The cache of `pg_index`, by the index.
const CACHE: i32 = pg_sys::SysCacheIdentifier::INDEXRELID as i32;

impl Table {
    /// Do these columns, none of which is NULL, identify one row by a constraint?
    pub fn is_unique(&self, columns: &[Column]) -> bool {
        let is_key = |index| key_columns(index, columns).is_some();
        !self.is_view() && !self.has_children() && indexes(self).into_iter().any(is_key)
    }
}

/// The columns of each unique index on columns alone, and whether it is that of the primary key.
pub fn keys(table: &Table) -> Vec<(bool, Vec<Column>)> {
    if table.has_children() {
        return Vec::new();
    }
    let all = table.columns();
    let column = |key: KeyColumn| table.column_at(key.number);
    let columns = |index| key_columns(index, &all)?.into_iter().map(column).collect::<Option<_>>();
    indexes(table).into_iter().filter_map(|index| Some((is_primary(index), columns(index)?))).collect()
}

/// A unique index on exactly these columns, and its columns in the order of `columns`.
pub fn exactly(table: &Table, columns: &[Column]) -> Option<(Oid, Vec<KeyColumn>)> {
    indexes(table).into_iter().find_map(|index| {
        let found = key_columns(index, columns).filter(|found| found.len() == columns.len())?;
        // An index in the order of another collation can't be searched by the column's own.
        let is_of = |it: &KeyColumn, column: &Column| it.number == column.number && it.collation == column.collation;
        let by_number = |column: &Column| found.iter().find(|it| is_of(it, column));
        let ordered: Option<Vec<_>> = columns.iter().map(|it| by_number(it).copied()).collect();
        Some((index, ordered?))
    })
}

fn indexes(table: &Table) -> Vec<Oid> {
    // SAFETY: the relation is open; the list is a copy.
    unsafe {
        let list = pg_sys::RelationGetIndexList(table.relation());
        let oids = (0..pg_sys::list_length(list)).map(|at| pg_sys::list_nth_oid(list, at));
        let oids = oids.collect();
        pg_sys::list_free(list);
        oids
    }
}

/// The columns of an index, if it is unique for all rows at any time and has no other columns than these.
fn key_columns(index: Oid, columns: &[Column]) -> Option<Vec<KeyColumn>> {
    // SAFETY: the tuple is released after the last use of its fields; the three vectors have one element a key column.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(CACHE, Datum::from(index));
        if tuple.is_null() {
            return None;
        }
        let form = &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_index>(tuple);
        let length = form.indnkeyatts as usize;
        let on_all_rows = attribute(tuple, pg_sys::Anum_pg_index_indpred).is_none();
        let is_key = form.indisunique && form.indimmediate && form.indisvalid && on_all_rows;
        let vector = |number| {
            let vector = attribute(tuple, number)?;
            let vector = &*vector.cast_mut_ptr::<pg_sys::oidvector>();
            Some(vector.values.as_slice(length))
        };
        let classes = vector(pg_sys::Anum_pg_index_indclass).filter(|_| is_key);
        let collations = vector(pg_sys::Anum_pg_index_indcollation).unwrap_or_default();
        let found = classes.and_then(|classes| {
            let keys = form.indkey.values.as_slice(length).iter();
            keys.zip(classes.iter().zip(collations))
                .map(|(key, (class, collation))| {
                    let given = columns.iter().find(|column| column.number == *key)?;
                    key_column(given, *class, *collation)
                })
                .collect()
        });
        pg_sys::ReleaseSysCache(tuple);
        found
    }
}

fn is_primary(index: Oid) -> bool {
    // SAFETY: the tuple is released after the last use of its fields.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(CACHE, Datum::from(index));
        if tuple.is_null() {
            return false;
        }
        let is_primary = (*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_index>(tuple)).indisprimary;
        pg_sys::ReleaseSysCache(tuple);
        is_primary
    }
}

/// A field of a `pg_index` row; `None` for NULL.
///
/// # Safety
/// `tuple` is a row from [`CACHE`] that isn't released yet.
unsafe fn attribute(tuple: pg_sys::HeapTuple, number: u32) -> Option<Datum> {
    let mut is_null = true;
    // SAFETY: the caller's promise.
    let datum = unsafe { pg_sys::SysCacheGetAttr(CACHE, tuple, number as i16, &mut is_null) };
    (!is_null).then_some(datum)
}

/// A column of an index, if its operator class has the same equality as the type. With another equality the index may
/// hold two rows that match one key: under a nondeterministic collation, or with a class such as text's on a citext
/// column.
fn key_column(column: &Column, class: Oid, collation: Oid) -> Option<KeyColumn> {
    // SAFETY: catalog look-ups of a running transaction; the type cache's entry lives as long as the backend.
    unsafe {
        let family = pg_sys::TYPECACHE_BTREE_OPFAMILY as i32;
        let entry = &*pg_sys::lookup_type_cache(base_type(column.type_oid), family);
        let deterministic = column.collation == Oid::INVALID || pg_sys::get_collation_isdeterministic(column.collation);
        if !deterministic || entry.btree_opf != pg_sys::get_opclass_family(class) {
            return None;
        }
        let (takes, equal) = (entry.btree_opintype, pg_sys::BTEqualStrategyNumber as i16);
        let operator = pg_sys::get_opfamily_member(entry.btree_opf, takes, takes, equal);
        Some(KeyColumn { number: column.number, collation, equals: pg_sys::get_opcode(operator) })
    }
}
