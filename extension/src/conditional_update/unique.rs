//! Which columns can't belong to two rows, by the table's unique indexes.

use super::target::Column;
use pgrx::pg_sys::{self, Oid};

/// Is there a unique index on some of these columns?
pub fn any_within(relation: pg_sys::Relation, columns: &[Column]) -> bool {
    let numbers: Vec<i16> = columns
        .iter()
        .filter(|column| compares_exactly(column))
        .map(|column| column.number)
        .collect();
    // SAFETY: the relation is open; the list is a copy of ours.
    unsafe {
        let indexes = pg_sys::RelationGetIndexList(relation);
        let length = if indexes.is_null() {
            0
        } else {
            (*indexes).length
        };
        let found = (0..length).any(|at| is_within(pg_sys::list_nth_oid(indexes, at), &numbers));
        pg_sys::list_free(indexes);
        found
    }
}

/// Under a nondeterministic collation two values may be equal to the column and different to an index.
fn compares_exactly(column: &Column) -> bool {
    // SAFETY: a catalog look-up of a running transaction.
    column.collation == Oid::INVALID
        || unsafe { pg_sys::get_collation_isdeterministic(column.collation) }
}

/// Does the index keep all rows apart, at any time, by these columns alone?
fn is_within(index: Oid, numbers: &[i16]) -> bool {
    const CACHE: i32 = pg_sys::SysCacheIdentifier::INDEXRELID as i32;
    // SAFETY: the tuple is released after the last use of its fields; an index has at least one key column.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(CACHE, pg_sys::Datum::from(index));
        if tuple.is_null() {
            return false;
        }
        let form = &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_index>(tuple);
        let mut everywhere = false;
        pg_sys::SysCacheGetAttr(
            CACHE,
            tuple,
            pg_sys::Anum_pg_index_indpred as i16,
            &mut everywhere,
        );
        let keys = form.indkey.values.as_slice(form.indnkeyatts as usize);
        let found = form.indisunique
            && form.indimmediate
            && form.indisvalid
            && everywhere
            && keys.iter().all(|key| numbers.contains(key));
        pg_sys::ReleaseSysCache(tuple);
        found
    }
}
