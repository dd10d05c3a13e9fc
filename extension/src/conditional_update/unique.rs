//! Which columns can't belong to two rows, by the table's unique indexes.

use super::operators::base_type;
use super::target::Column;
use pgrx::pg_sys::{self, Datum, Oid};

/// The cache of `pg_index`, by the index.
const CACHE: i32 = pg_sys::SysCacheIdentifier::INDEXRELID as i32;

/// Is there a unique index on some of these columns?
pub fn any_within(relation: pg_sys::Relation, columns: &[Column]) -> bool {
    // SAFETY: the relation is open; the list is a copy of ours.
    unsafe {
        let indexes = pg_sys::RelationGetIndexList(relation);
        let length = match indexes.is_null() {
            true => 0,
            false => (*indexes).length,
        };
        let found = (0..length).any(|at| is_within(pg_sys::list_nth_oid(indexes, at), columns));
        pg_sys::list_free(indexes);
        found
    }
}

/// Does the index keep all rows apart, at any time, by these columns alone?
fn is_within(index: Oid, columns: &[Column]) -> bool {
    // SAFETY: the tuple is released after the last use of its fields; the two vectors have one element a key column.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(CACHE, Datum::from(index));
        if tuple.is_null() {
            return false;
        }
        let form = &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_index>(tuple);
        let length = form.indnkeyatts as usize;
        let on_all_rows = attribute(tuple, pg_sys::Anum_pg_index_indpred).is_none();
        let found = form.indisunique
            && form.indimmediate
            && form.indisvalid
            && on_all_rows
            && attribute(tuple, pg_sys::Anum_pg_index_indclass).is_some_and(|classes| {
                let classes = &*classes.cast_mut_ptr::<pg_sys::oidvector>();
                let keys = form.indkey.values.as_slice(length).iter();
                keys.zip(classes.values.as_slice(length))
                    .all(|(key, class)| {
                        let given = columns.iter().find(|column| column.number == *key);
                        given.is_some_and(|column| equals_as_the_type(column, *class))
                    })
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

/// Does an index on the column, by this operator class, call equal what the type calls equal? Otherwise it may hold two
/// rows that one key matches: under a nondeterministic collation, or by a class such as text's on citext.
fn equals_as_the_type(column: &Column, class: Oid) -> bool {
    // SAFETY: catalog look-ups of a running transaction; the type cache's entry lives as long as the backend.
    unsafe {
        let family = pg_sys::TYPECACHE_BTREE_OPFAMILY as i32;
        let entry = pg_sys::lookup_type_cache(base_type(column.type_oid), family);
        let deterministic = column.collation == Oid::INVALID
            || pg_sys::get_collation_isdeterministic(column.collation);
        deterministic && (*entry).btree_opf == pg_sys::get_opclass_family(class)
    }
}
