//! volguard's heavyweight locks.
//!
//! They use the advisory lock method, with a value in the tag's fourth field that Postgres' advisory functions never
//! write (they use 1 and 2). So they can't conflict with a user's advisory lock. `pg_locks` shows them as `advisory`
//! with that value as `objsubid`. All but one are transaction-level.

use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, LOCKTAG, Oid};
use xxhash_rust::xxh3::Xxh3;

/// What a tag is for: its fourth field.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub enum TagKind {
    /// The wait queue of a key.
    Queue = 0x5647,
    /// The wait queue of a resource's work slot.
    WorkQueue = 0x5648,
    /// The service lock: shared by transactions that rely on the service being alive, exclusive to a fence.
    ServiceLock = 0x5649,
    /// Registering one identity: (owner, host, binary_name).
    Incarnation = 0x564A,
    /// Moving the sequence that tokens and ids are drawn from.
    Mover = 0x564B,
    /// Calls of one service under one request id that hand out work: `claim_cleanup`, `next_work`.
    ServiceRequest = 0x564D,
    /// Running the crash rules of one owner: of a process, for as long as it lives.
    Repairs = 0x564E,
    /// Making a cluster.
    NewCluster = 0x564F,
    /// Having such a process started: of the call, until the process has ended.
    RepairTurns = 0x5657,
    /// A seat of a waiting call, of the whole server: see [`super::seat`].
    Seat = 0x5650,
    /// The service of a waiting call that can't note it elsewhere: see [`super::note`].
    WaitingService = 0x5651,
    /// Since when that call waits.
    WaitingSince = 0x5652,
    /// What that call waits for: the number of the lock.
    WaitingFor = 0x5653,
    /// A bell of calls that wait for work.
    Bell = 0x5654,
    /// The queue of a cluster: shared by transactions that submit work to it, exclusive to its removal.
    ClusterQueue = 0x5655,
    /// Submitting under one request id.
    SubmitRequest = 0x5656,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Shared = pg_sys::ShareLock as isize,
    Exclusive = pg_sys::ExclusiveLock as isize,
}

impl TagKind {
    /// The guard that a test removes together with these locks.
    fn guard(self) -> Option<Guard> {
        match self {
            TagKind::Queue | TagKind::WorkQueue => Some(Guard::WaitQueue),
            TagKind::ServiceLock => Some(Guard::ServiceLock),
            TagKind::ServiceRequest => Some(Guard::ServiceRequest),
            TagKind::Mover => Some(Guard::Mover),
            TagKind::Incarnation => Some(Guard::Registering),
            TagKind::Seat => Some(Guard::Seat),
            TagKind::Repairs | TagKind::RepairTurns => Some(Guard::OneRepairer),
            TagKind::ClusterQueue => Some(Guard::ClusterQueue),
            TagKind::SubmitRequest => Some(Guard::SubmitRequest),
            TagKind::NewCluster
            | TagKind::WaitingService
            | TagKind::WaitingSince
            | TagKind::WaitingFor
            | TagKind::Bell => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Tag(LOCKTAG, TagKind);

impl Tag {
    pub fn of_number(kind: TagKind, number: u64) -> Self {
        Tag(
            LOCKTAG {
                // SAFETY: a plain variable of the backend.
                locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
                locktag_field2: (number >> 32) as u32,
                locktag_field3: number as u32,
                locktag_field4: kind as u16,
                locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
                locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
            },
            kind,
        )
    }

    /// The same tag in every database of the server.
    pub fn of_server(kind: TagKind, number: u64) -> Self {
        let mut tag = Self::of_number(kind, number);
        tag.0.locktag_field1 = 0;
        tag
    }

    pub fn kind(&self) -> TagKind {
        self.1
    }

    /// The number that the tag was made of, or the hash of its names.
    pub fn number(&self) -> u64 {
        u64::from(self.0.locktag_field2) << 32 | u64::from(self.0.locktag_field3)
    }

    /// Names with the same hash share a tag. Then one call waits for the other, and nothing worse: a tag only orders
    /// the attempts, the unique index decides them. The hash function is fixed because backends with different builds
    /// of the extension must agree.
    pub fn of_names(kind: TagKind, names: &[&str]) -> Self {
        let mut hash = Xxh3::new();
        for name in names {
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
        }
        Self::of_number(kind, hash.digest())
    }

    /// A call that takes several locks takes them in this order.
    pub fn order(&self) -> (u16, u32, u32) {
        let tag = &self.0;
        (tag.locktag_field4, tag.locktag_field2, tag.locktag_field3)
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self, mode: Mode) -> Result<bool, Error> {
        self.acquire(mode, true)
    }

    /// As [`Tag::try_lock`], for as long as the process lives.
    pub fn try_lock_for_session(&self, mode: Mode) -> Result<bool, Error> {
        if self.is_sabotaged() {
            return Ok(true);
        }
        let tag = &raw const self.0;
        // SAFETY: a valid tag that outlives the call; the closure owns nothing.
        let result = unsafe { catching(|| raw::LockAcquire(tag, mode as i32, true, true))? };
        Ok(result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
    }

    /// Waits for the lock, behind earlier calls. The backend's `lock_timeout` applies.
    pub fn lock(&self, mode: Mode) -> Result<(), Error> {
        self.acquire(mode, false).map(drop)
    }

    /// Its fields as `pg_locks` shows them: classid, objid, objsubid.
    pub fn shown_as(&self) -> (Oid, Oid, i16) {
        let tag = &self.0;
        (Oid::from(tag.locktag_field2), Oid::from(tag.locktag_field3), tag.locktag_field4 as i16)
    }

    /// Whether a test has removed these locks.
    fn is_sabotaged(&self) -> bool {
        self.1.guard().is_some_and(sabotage::removed)
    }

    fn acquire(&self, mode: Mode, dont_wait: bool) -> Result<bool, Error> {
        if self.is_sabotaged() {
            return Ok(true);
        }
        let tag = &raw const self.0;
        let _owned = ByTransaction::now();
        // SAFETY: a valid tag that outlives the call; the closure owns nothing.
        let result = unsafe { catching(|| raw::LockAcquire(tag, mode as i32, false, dont_wait))? };
        Ok(result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL)
    }

    /// Undoes one `try_lock` or `lock` before the transaction ends.
    pub fn unlock(&self, mode: Mode) {
        if self.is_sabotaged() {
            return;
        }
        let _owned = ByTransaction::now();
        // SAFETY: a valid tag; for a lock that isn't held Postgres raises a warning.
        unsafe { pg_sys::LockRelease(&self.0, mode as i32, false) };
    }

    /// Adds the latches of the processes that hold the lock exclusively (one at most) or shared.
    ///
    /// When the latch is set, the process may have ended and its slot may belong to another one. A latch set in vain
    /// only makes its owner look once more.
    pub fn holders_latches(&self, into: &mut Vec<*mut pg_sys::Latch>) {
        let mut count = 0;
        // SAFETY: a valid tag; the array has `count` elements and lives in this call's memory context.
        let holders = unsafe {
            let ids = pg_sys::GetLockConflicts(&self.0, Mode::Exclusive as i32, &mut count);
            std::slice::from_raw_parts(ids, count.max(0) as usize)
        };
        into.extend(holders.iter().filter_map(latch_of));
        // SAFETY: allocated by GetLockConflicts just above, and not used any more.
        unsafe { pg_sys::pfree(holders.as_ptr().cast_mut().cast()) };
    }
}

/// While this lives, locks belong to the (sub)transaction instead of the running query.
///
/// Postgres releases a lock only for the resource owner that took it, and a lock of a subtransaction passes to its
/// parent. So all are taken and released for the transaction.
struct ByTransaction(pg_sys::ResourceOwner);

impl ByTransaction {
    fn now() -> Self {
        // SAFETY: plain variables of the backend; a transaction is running, so it has an owner.
        unsafe {
            let before = pg_sys::CurrentResourceOwner;
            pg_sys::CurrentResourceOwner = pg_sys::CurTransactionResourceOwner;
            ByTransaction(before)
        }
    }
}

impl Drop for ByTransaction {
    fn drop(&mut self) {
        // SAFETY: what `now` read; its query is still running.
        unsafe { pg_sys::CurrentResourceOwner = self.0 };
    }
}

/// The latch of the process that runs a virtual transaction; `None` if that transaction is over.
///
/// The process number may belong to another process by now, so the local transaction id must match too.
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
fn latch_of(id: &pg_sys::VirtualTransactionId) -> Option<*mut pg_sys::Latch> {
    unsafe extern "C-unwind" {
        /// `storage/sinvaladt.h`, which pgrx doesn't bind. Takes one lightweight lock; raises nothing.
        fn BackendIdGetProc(backend: std::ffi::c_int) -> *mut pg_sys::PGPROC;
    }
    // SAFETY: a PGPROC stays mapped as long as the backend lives; a stale one fails the comparison.
    unsafe {
        let process = BackendIdGetProc(id.backendId);
        (!process.is_null() && (*process).lxid == id.localTransactionId).then(|| &raw mut (*process).procLatch)
    }
}

/// As above, for the releases whose processes have numbers.
#[cfg(any(feature = "pg17", feature = "pg18"))]
fn latch_of(id: &pg_sys::VirtualTransactionId) -> Option<*mut pg_sys::Latch> {
    // SAFETY: as above; ProcNumberGetProc returns null for a number without a process.
    unsafe {
        let process = pg_sys::ProcNumberGetProc(id.procNumber);
        (!process.is_null() && (*process).vxid.lxid == id.localTransactionId).then(|| &raw mut (*process).procLatch)
    }
}
