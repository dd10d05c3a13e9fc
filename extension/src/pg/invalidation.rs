//! A counter of catalog changes: a fact from the catalog is valid as long as the counter stays.

use super::owner;
use pgrx::pg_sys::{self, Datum, Oid, SysCacheIdentifier};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the changes of relations and of the catalogs in [`WATCHED`].
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Counts the changes of roles and memberships.
static ROLES: AtomicU64 = AtomicU64::new(0);

/// What a generated statement depends on, beside relations: names of schemas, types with their input functions,
/// operators, operator classes and families, casts, collations.
const WATCHED: [SysCacheIdentifier::Type; 8] = [
    SysCacheIdentifier::NAMESPACEOID,
    SysCacheIdentifier::TYPEOID,
    SysCacheIdentifier::PROCOID,
    SysCacheIdentifier::OPEROID,
    SysCacheIdentifier::CLAOID,
    SysCacheIdentifier::AMOPOPID,
    SysCacheIdentifier::CASTSOURCETARGET,
    SysCacheIdentifier::COLLOID,
];

/// Asks Postgres for a call at each change.
pub fn register() {
    // SAFETY: registered once a backend, at load; the callbacks never raise.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), Datum::from(0));
        for cache in WATCHED {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(changed), Datum::from(0));
        }
        for cache in [SysCacheIdentifier::AUTHOID, SysCacheIdentifier::AUTHMEMROLEMEM] {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(roles_changed), Datum::from(0));
        }
    }
}

/// What was read from the catalog under this number is valid while the number stays. Postgres delivers changes when the
/// backend takes a lock that it didn't hold before: lock first, then compare.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// As [`generation`], of roles and their memberships.
pub fn roles_generation() -> u64 {
    ROLES.load(Ordering::Relaxed)
}

/// # Safety
/// Called by Postgres while it handles invalidations: must neither raise nor touch a catalog.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn relation_changed(_arg: Datum, relation: Oid) {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    owner::relation_changed(relation);
}

/// # Safety
/// As [`relation_changed`].
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn changed(_arg: Datum, _cache: i32, _hash: u32) {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// # Safety
/// As [`relation_changed`].
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn roles_changed(_arg: Datum, _cache: i32, _hash: u32) {
    ROLES.fetch_add(1, Ordering::Relaxed);
}
