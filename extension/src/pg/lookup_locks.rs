//! The relation locks that a lookup takes, given back at its end.
//!
//! A statement's locks stay until the transaction ends. If a call kept them while it sleeps, DDL on the relation would
//! queue behind the call, and everything else behind the DDL: also the release that the call sleeps for. Postgres
//! doesn't see this circle, since the sleep is no lock wait.
//!
//! A lookup gets a resource owner of its own, and Postgres releases what that owner has. volguard's own locks
//! ([`crate::wait::tag`]) belong to the transaction and stay.

use super::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, ResourceOwner, ResourceReleasePhase};

/// Runs a lookup, and gives back the relation locks that it took. What it found may change from here on.
pub fn given_back<R>(lookup: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    kept_if(lookup, |_| false)
}

/// Runs `body`. The transaction keeps the relation locks if `is_write` says so of the result, as it must after a write.
pub fn kept_if<R>(body: impl FnOnce() -> Result<R, Error>, is_write: impl FnOnce(&R) -> bool) -> Result<R, Error> {
    if sabotage::removed(Guard::LookupLocks) {
        return body();
    }
    let scope = Scope::begin();
    // After an error the abort releases what is left: it puts away first what must not be held meanwhile, such as the
    // lock on a buffer.
    let result = body()?;
    scope.end(is_write(&result));
    Ok(result)
}

/// A resource owner is the current one while this lives.
struct Scope {
    owner: ResourceOwner,
    before: ResourceOwner,
}

impl Scope {
    fn begin() -> Self {
        // SAFETY: a running statement has an owner; the new one is its child, so an abort releases and deletes both.
        unsafe {
            let before = pg_sys::CurrentResourceOwner;
            let owner = pg_sys::ResourceOwnerCreate(before, c"volguard lookup".as_ptr());
            pg_sys::CurrentResourceOwner = owner;
            Scope { owner, before }
        }
    }

    /// Hands the locks to the owner before, or releases them.
    fn end(self, keep: bool) {
        use ResourceReleasePhase::{
            RESOURCE_RELEASE_AFTER_LOCKS, RESOURCE_RELEASE_BEFORE_LOCKS, RESOURCE_RELEASE_LOCKS,
        };
        let Scope { owner, before } = self;
        // SAFETY: the owner of this scope, which nothing uses any more. The phases are those of a subtransaction's end.
        unsafe {
            pg_sys::CurrentResourceOwner = before;
            for phase in [RESOURCE_RELEASE_BEFORE_LOCKS, RESOURCE_RELEASE_LOCKS, RESOURCE_RELEASE_AFTER_LOCKS] {
                pg_sys::ResourceOwnerRelease(owner, phase, keep, false);
            }
            pg_sys::ResourceOwnerDelete(owner);
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: what `begin` read; its statement is still running.
        unsafe { pg_sys::CurrentResourceOwner = self.before };
    }
}
