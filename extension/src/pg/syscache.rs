//! Reading a row of a system catalog through Postgres' cache of it.

use pgrx::pg_sys::{self, Datum, Oid};

/// Hands the row of `oid` in a cache that is looked up by an oid to `read`, which copies what it needs. `None` if there
/// is no such row.
///
/// # Safety
/// `T` is the C struct of the catalog that `cache` is of.
pub unsafe fn row<T, R>(cache: pg_sys::SysCacheIdentifier::Type, oid: Oid, read: impl FnOnce(&T) -> R) -> Option<R> {
    // SAFETY: a catalog lookup of a running transaction. The row is of that struct, as the caller promises, and is
    // released only after `read` has returned.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache as i32, Datum::from(oid));
        if tuple.is_null() {
            return None;
        }
        let result = read(&*pg_sys::heap_tuple_get_struct::<T>(tuple));
        pg_sys::ReleaseSysCache(tuple);
        Some(result)
    }
}

/// Hands a column of the row of `oid` to `read`, which copies what it needs: `None` for NULL. The result is `None` if
/// there is no such row.
///
/// # Safety
/// `number` is that of a column of the catalog that `cache` is of.
pub unsafe fn column<R>(
    cache: pg_sys::SysCacheIdentifier::Type,
    oid: Oid,
    number: u32,
    read: impl FnOnce(Option<Datum>) -> R,
) -> Option<R> {
    let mut is_null = true;
    // SAFETY: a catalog lookup of a running transaction. The row is released only after `read` has returned.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache as i32, Datum::from(oid));
        if tuple.is_null() {
            return None;
        }
        let value = pg_sys::SysCacheGetAttr(cache as i32, tuple, number as i16, &mut is_null);
        let result = read((!is_null).then_some(value));
        pg_sys::ReleaseSysCache(tuple);
        Some(result)
    }
}
