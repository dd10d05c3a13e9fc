//! Taking single guards away, to see the tests fail without them. Only in builds with the feature `sabotage`, which are
//! never shipped; in all others every guard stands and this costs nothing.

/// A guard that a test can remove, by its name in `volguard.sabotage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The waiting line: who may try the insert.
    Line,
    /// The gate: no insert and no check slips past a fence.
    Gate,
    /// The write that makes a service dead for ever.
    Fence,
    /// The row lock that keeps a checked token held until the commit.
    Hold,
    /// The wake-up after a release.
    WakeUp,
    /// The look for a lock that the same request got before.
    RequestId,
    /// The flush of an acquire's commit under `synchronous_commit = off`.
    Durable,
    /// The look for a delete in progress, before the head sleeps.
    WriterInProgress,
    /// The look at the client's connection during a wait.
    Watch,
    /// A call for several locks that waits for one keeps nobody from the others.
    GiveWay,
    /// The end of that patience, when it was overtaken too often.
    Insist,
    /// The order in which a call for several locks queues for them.
    LineOrder,
    /// Of those who clean up a cluster without being asked, one at a time.
    OneCleaner,
    /// The lock on the row before an update looks at other tables.
    LockFirst,
    /// A cleanup repairs what it has taken away, not what it has seen.
    Taken,
    /// Crash rules look at what is committed now, not at the transaction's snapshot.
    RuleView,
    /// The look whether the catalog is what it was when a kept statement was written.
    Catalog,
    /// The lock on the work that a claim is about to hand out.
    ClaimLock,
    /// The new token of claimed work.
    ClaimToken,
    /// Work that waits for the row of its resource lets others have its lines and its gate now and then.
    Patience,
    /// Finished work gives its lock back before it changes the row of its resource.
    ReleaseFirst,
    /// The look whether the database has come out of a dump.
    Lineage,
}

#[cfg(not(feature = "sabotage"))]
pub fn register() {}

/// Has a test taken this guard away?
#[cfg(not(feature = "sabotage"))]
pub const fn removed(_guard: Guard) -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub use build::{register, removed};

#[cfg(feature = "sabotage")]
mod build {
    use super::Guard;
    use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
    use std::ffi::CString;

    static REMOVED: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

    pub fn register() {
        GucRegistry::define_string_guc(
            c"volguard.sabotage",
            c"Guards to take away, by name, separated by commas.",
            c"For tests that must fail without a guard.",
            &REMOVED,
            GucContext::Suset,
            GucFlags::default(),
        );
    }

    pub fn removed(guard: Guard) -> bool {
        let name = format!("{guard:?}");
        REMOVED.get().is_some_and(|list| {
            list.to_string_lossy()
                .split(',')
                .any(|item| item.trim() == name)
        })
    }
}
