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
    /// The crash rules of each owner run in a process of their own.
    OwnProcess,
    /// Each type has a share of what one call repairs.
    Share,
    /// One process at a time runs the crash rules of an owner.
    OneRepairer,
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
    /// The time limit of a crash rule.
    RuleTimeout,
    /// A trigger that catches the cancel of the time limit meets another one.
    Insisting,
    /// A cancel of the time limit that came too late is taken back.
    CancelTakenBack,
    /// Rows of the user's that are locked are passed over.
    LockedRows,
    /// A table of the user's that is locked is passed over.
    LockedTable,
    /// The fence and the plain locks are committed before the first repair.
    FenceFirst,
    /// A call of a cleanup does so much at the most.
    Budget,
    /// A crash rule runs as the owner of the table, not as the role that cleans up.
    RuleRole,
    /// The process that runs crash rules is a session of that role.
    RuleSession,
    /// A crash rule runs only on the table that it was made for.
    RuleTarget,
    /// A crash rule runs only as long as the table belongs to the role that it belonged to when the rule was made.
    RuleOwner,
    /// The check who owns the triggers and partitions of the table of a crash rule.
    RuleTriggers,
    /// A crash rule fails while another role has the privilege TRIGGER.
    TriggerPrivilege,
    /// A member of a role that can't SET ROLE to it is another role.
    SetOption,
    /// A crash rule changes no table of another role through foreign keys.
    Cascade,
    /// A crash rule fails on a table with rewrite rules.
    RewriteRule,
    /// What was found unlocked is looked at once more under locks.
    LookUnderLocks,
    /// The schemas of a crash rule's search_path belong to its owner.
    RulePath,
    /// A crash rule does not change a catalog, or volguard's own tables.
    SystemTable,
    /// `on_crash` reads its literals as the owner of the table.
    ReadAsOwner,
    /// `on_crash` checks again that the type is tracked in the table.
    SameTable,
    /// Only a role with the privileges of a table's owner tracks types in it and makes rules for it.
    TypeOwner,
    /// A type that others have work in progress of can't be tracked.
    OthersWork,
    /// Work on a tracked type needs a privilege on the table.
    WorkPermission,
    /// A superuser starts and finishes work only on a table that it has named, or that a superuser owns.
    NamedTable,
    /// So does a member of a superuser.
    MemberOfSuperuser,
    /// The code on that table belongs to superusers as well.
    SuperusersCode,
    /// The check that the catalog has not changed since a kept statement was written.
    Catalog,
    /// The new token of claimed work.
    ClaimToken,
    /// Of the calls of a service under one request id that hand out work, one at a time.
    ServiceRequest,
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
    /// A waiting call has a seat, of which there are `volguard.max_waiters`.
    Seat,
    /// A waiting call takes its note back when its wait ends.
    NoteEnds,
    /// A session is ended only if the service whose lock it holds has been dead for long enough.
    GatePatience,
    /// A session is ended only while it runs no statement.
    IdleOnly,
    /// There is no panic. Without this "guard" there is one in each subtransaction.
    NoPanic,
    /// A panic ends its subtransaction on its way.
    PanicEndsSubtransaction,
    /// Memory that can't be allocated ends the session, not the server.
    OrFatal,
    /// The background worker acts on the extension's own tables only.
    Member,
    /// Names have no control characters.
    ControlCharacters,
    /// A message for the log is one line.
    OneLine,
    /// A registration fences the earlier incarnation of its identity.
    FenceEarlier,
    /// Registrations of one identity come one after the other.
    Registering,
    /// The check that the caller may register in a cluster.
    ClusterOwner,
    /// The lock of a registration on the row of its cluster.
    ClusterLock,
    /// A registration waits for some seconds only.
    RegisterPatience,
    /// What operators and superusers did is kept, however many other events come.
    KeptByAge,
    /// Only members of a cluster's owner remove it when it is empty.
    OwnEmptyClusters,
    /// Only its own role sets the details of a service.
    OwnDetails,
    /// A repair leaves alone what services have that aren't fenced, unless an operator asked for it.
    DeadHolder,
    /// The status is compared once more under the lock of its row.
    ExpectedStatus,
    /// The record of locks that a superuser released for others.
    Foreign,
    /// The row of submitted work and the change of its resource are one transaction's, or neither is made.
    SubmitTogether,
    /// Submissions under one request id come one after the other.
    SubmitRequest,
    /// A cluster is not removed while work is submitted to it.
    ClusterQueue,
    /// Only a cluster's owner, and roles that were granted it, submit work to it.
    MaySubmit,
    /// Only the submitter, the cluster's owner and operators cancel work.
    MayCancel,
    /// Work that a service takes is locked against others that take it.
    TakeLocked,
    /// The index of the queue has only work that waits, in the order in which it is handed out.
    QueueIndex,
    /// That there is nothing is said only after a look at all lanes.
    FullLook,
    /// Work for one host is not handed to another.
    OnlyHost,
    /// The row of work that is passed on stays, and with it the lock.
    RowStays,
    /// A commit that puts work into a queue wakes a call that waits for it.
    Bell,
    /// A call that was woken wakes the next one, for the work that it leaves.
    PassOn,
    /// A waiting call looks when the next work of a lane is due, behind what others are taking.
    NextDue,
    /// Submitted work is tried again, as often as its crash rule says, before the rule is applied.
    RetryFirst,
    /// No rule is applied to submitted work that is to be tried again, also if its row was locked when it was to be put
    /// back.
    RetryBeforeRule,
    /// The library works only with the objects of its own version.
    SameVersion,
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

/// What a process that a session starts has to know of the session's test.
#[cfg(not(feature = "sabotage"))]
#[derive(Clone, Copy)]
pub struct Passed;

#[cfg(not(feature = "sabotage"))]
pub const fn pass() -> Passed {
    Passed
}

#[cfg(not(feature = "sabotage"))]
pub const fn adopt(_passed: Passed) {}

#[cfg(feature = "sabotage")]
pub use build::{Passed, adopt, pass, pause, register, removed};

#[cfg(feature = "sabotage")]
mod build {
    use super::Guard;
    use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
    use std::ffi::{CStr, CString};

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

    /// The two settings, as C strings.
    pub type Passed = [[u8; 256]; 2];

    pub fn pass() -> Passed {
        [&REMOVED, &PAUSED].map(|setting| {
            let mut passed = [0; 256];
            let value = setting.get().unwrap_or_default();
            passed[..value.as_bytes().len()].copy_from_slice(value.as_bytes());
            passed
        })
    }

    pub fn adopt(passed: Passed) {
        for (name, value) in [c"volguard.sabotage", c"volguard.pause"].into_iter().zip(&passed) {
            let value = CStr::from_bytes_until_nul(value).expect("ends with zeros");
            let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
            // SAFETY: C strings that Postgres copies.
            unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source) };
        }
    }

    pub fn removed(guard: Guard) -> bool {
        let name = format!("{guard:?}");
        REMOVED.get().is_some_and(|list| list.to_string_lossy().split(',').any(|item| item.trim() == name))
    }
}
