//! Callers that can act as a superuser, by themselves or by `SET ROLE`.

use crate::pg::error::Error;
use crate::pg::invalidation;
use crate::pg::lookup_locks;
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use pgrx::pg_sys::Oid;
use std::cell::Cell;

thread_local! {
    /// A role that can't, and the generation of roles of that answer.
    static ORDINARY: Cell<Option<(Oid, u64)>> = const { Cell::new(None) };
}

/// Is the caller a superuser, or a member of one?
pub fn caller_can_be() -> Result<bool, Error> {
    let caller = owner::caller();
    if owner::is_superuser(caller) {
        return Ok(true);
    }
    let generation = invalidation::roles_generation();
    if ORDINARY.get() == Some((caller, generation)) || sabotage::removed(Guard::MemberOfSuperuser) {
        return Ok(false);
    }
    // The call may sleep afterwards.
    let can_be = lookup_locks::given_back(|| sql::REACHES_SUPERUSER.count(&[arg(caller)]))? > 0;
    if !can_be {
        ORDINARY.set(Some((caller, generation)));
    }
    Ok(can_be)
}
