//! Removes single guards, so that a test can show that it fails without them. Only in builds with the feature
//! `sabotage`, which are never shipped. In all other builds every guard stays, at no cost.

/// A guard that a test can remove, by its name in `volguard.sabotage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The wait queue: only its head tries the insert.
    WaitQueue,
    /// The service lock: no insert and no check goes past a fence.
    ServiceLock,
    /// The write that fences a service.
    Fence,
    /// The row lock that keeps a checked token held until the commit.
    Hold,
    /// The wake-up after a release.
    WakeUp,
    /// The lookup of what the same request got before.
    RequestId,
    /// The wait of a commit for the disk and the standbys under a lower `synchronous_commit`.
    Durable,
    /// The check for a delete in progress, before the head sleeps.
    WriterInProgress,
    /// The check of the client's connection during a wait.
    ConnectionCheck,
    /// A call for several locks that waits for one leaves the queues of the others.
    GiveWay,
    /// A call that was overtaken too often leaves no queue any more.
    Insist,
    /// The order in which a call for several locks queues for them.
    QueueOrder,
    /// One automatic cleanup of a cluster at a time.
    OneCleaner,
    /// The lock on the row before an update reads other tables.
    LockFirst,
    /// That lock makes the check of a foreign key to the row wait.
    KeyLock,
    /// The refusal of an update that reads other tables where the transaction has one snapshot.
    LatestOnly,
    /// The second look at a row that AFTER triggers may have changed.
    AfterTriggers,
    /// The row is found again by what identifies it, not by what the update has set.
    Identity,
    /// An update that returns no row is undone.
    UndoneWithoutRow,
    /// The next look at a row that was lost while the look waited for it.
    LookAgain,
    /// An update whose row was moved to another partition is run again.
    MovedRow,
    /// A cleanup repairs the resources whose rows it has deleted, not those that it has seen.
    Taken,
    /// A crash rule sees what is committed now, not the transaction's snapshot.
    RuleView,
    /// The check that the catalog has not changed since a kept statement was written.
    Catalog,
    /// The lock on the work that a claim hands out.
    ClaimLock,
    /// The new token of claimed work.
    ClaimToken,
    /// Of the claims under one request id, one at a time.
    ClaimRequest,
    /// A start of work that waits for the row of its resource leaves its queues and the service lock now and then.
    Patience,
    /// Finished work releases its lock before it updates the row of its resource.
    ReleaseFirst,
    /// One spelling for each id of a tracked type.
    Spelling,
    /// The look at what is being tracked, after the insert.
    SpellingCheck,
    /// The comparison of a drawn number with the clock.
    Clock,
    /// The comparison of the sequence's place with the last one.
    Place,
    /// One session at a time moves the sequence.
    Mover,
    /// The relation locks of a lookup are given back before the call sleeps.
    LookupLocks,
    /// The check that the transaction may write, before a verb looks at anything.
    MayWrite,
    /// A setting that a verb changes is changed through Postgres' settings machinery.
    Overrides,
    /// Lookups take no predicate locks.
    NoPredicateLocks,
    /// There is no panic. Without this "guard" there is one in each subtransaction.
    NoPanic,
    /// A panic ends its subtransaction on its way.
    PanicEndsSubtransaction,
}

#[cfg(not(feature = "sabotage"))]
pub fn register() {}

/// Whether a test has removed this guard.
#[cfg(not(feature = "sabotage"))]
pub const fn removed(_guard: Guard) -> bool {
    false
}

/// Waits here, if a test wants it.
#[cfg(not(feature = "sabotage"))]
pub const fn pause(_guard: Guard) {}

#[cfg(feature = "sabotage")]
pub use build::{pause, register, removed};

#[cfg(feature = "sabotage")]
mod build {
    use super::Guard;
    use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
    use std::ffi::CString;

    static PAUSED: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

    static REMOVED: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

    pub fn register() {
        GucRegistry::define_string_guc(
            c"volguard.sabotage",
            c"Guards to remove, by name, separated by commas.",
            c"For tests that must fail without a guard.",
            &REMOVED,
            GucContext::Suset,
            GucFlags::default(),
        );
        GucRegistry::define_string_guc(
            c"volguard.pause",
            c"The guard under which to wait for the advisory lock 1.",
            c"For tests of what other sessions do meanwhile.",
            &PAUSED,
            GucContext::Suset,
            GucFlags::default(),
        );
    }

    /// Waits as long as another session holds the advisory lock 1, if the setting names the guard.
    pub fn pause(guard: Guard) {
        if PAUSED.get().is_some_and(|name| name.to_string_lossy() == format!("{guard:?}")) {
            let locked = pgrx::Spi::run("SELECT pg_catalog.pg_advisory_xact_lock_shared(1)");
            locked.expect("the lock is given in the end");
        }
    }

    pub fn removed(guard: Guard) -> bool {
        let name = format!("{guard:?}");
        REMOVED.get().is_some_and(|list| list.to_string_lossy().split(',').any(|item| item.trim() == name))
    }
}
