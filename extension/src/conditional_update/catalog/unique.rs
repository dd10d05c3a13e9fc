//! Which columns can't belong to two rows, by the table's unique indexes.

use super::operators::base_type;
use super::table::{Column, Table};
use crate::conditional_update::cache::row_lock::KeyColumn;
use pgrx::pg_sys::{self, Datum, Oid};

/// The cache of `pg_index`, by the index.
const CACHE: i32 = pg_sys::SysCacheIdentifier::INDEXRELID as i32;

/// Is there a unique index on some of these columns?
pub fn any_within(table: &Table, columns: &[Column]) -> bool {
    indexes(table).any(|index| key_columns(index, columns).is_some())
}

/// A unique index on these columns and no other, and its columns in the order in which they are given.
pub fn exactly(table: &Table, columns: &[Column]) -> Option<(Oid, Vec<KeyColumn>)> {
    indexes(table).find_map(|index| {
        let found = key_columns(index, columns).filter(|found| found.len() == columns.len())?;
        // In the order of another collation the index can't be searched by the column's.
        let is_of = |it: &KeyColumn, column: &Column| {
            it.number == column.number && it.collation == column.collation
        };
        let by_number = |column: &Column| found.iter().find(|it| is_of(it, column));
        let ordered: Option<Vec<_>> = columns.iter().map(|it| by_number(it).copied()).collect();
        Some((index, ordered?))
    })
}

fn indexes(table: &Table) -> impl Iterator<Item = Oid> {
    // SAFETY: the relation is open; the list is a copy of ours.
    let indexes: Vec<Oid> = unsafe {
        let list = pg_sys::RelationGetIndexList(table.relation());
        let oids = (0..pg_sys::list_length(list)).map(|at| pg_sys::list_nth_oid(list, at));
        let oids = oids.collect();
        pg_sys::list_free(list);
        oids
    };
    indexes.into_iter()
}

/// The columns of an index, if it keeps all rows apart, at any time, by none but these.
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
        let keeps = form.indisunique && form.indimmediate && form.indisvalid && on_all_rows;
        let vector = |number| {
            let vector = attribute(tuple, number)?;
            let vector = &*vector.cast_mut_ptr::<pg_sys::oidvector>();
            Some(vector.values.as_slice(length))
        };
        let classes = vector(pg_sys::Anum_pg_index_indclass).filter(|_| keeps);
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

/// The column in an index, by this operator class, that calls equal what the type calls equal. One that doesn't may hold
/// two rows that one key matches: under a nondeterministic collation, or by a class such as text's on citext.
fn key_column(column: &Column, class: Oid, collation: Oid) -> Option<KeyColumn> {
    // SAFETY: catalog look-ups of a running transaction; the type cache's entry lives as long as the backend.
    unsafe {
        let family = pg_sys::TYPECACHE_BTREE_OPFAMILY as i32;
        let entry = &*pg_sys::lookup_type_cache(base_type(column.type_oid), family);
        let deterministic = column.collation == Oid::INVALID
            || pg_sys::get_collation_isdeterministic(column.collation);
        if !deterministic || entry.btree_opf != pg_sys::get_opclass_family(class) {
            return None;
        }
        let (takes, equal) = (entry.btree_opintype, pg_sys::BTEqualStrategyNumber as i16);
        let operator = pg_sys::get_opfamily_member(entry.btree_opf, takes, takes, equal);
        Some(KeyColumn {
            number: column.number,
            collation,
            equals: pg_sys::get_opcode(operator),
        })
    }
}
