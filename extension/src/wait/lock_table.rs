//! volguard's locks of this database, as the server's lock table has them.

use super::tag::{Mode, TagKind};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys::{self, LockInstanceData};

/// A session's hold on a lock, or its wait for it. A session that holds a lock can wait for a stronger mode of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub kind: u16,
    pub number: u64,
    /// 0 for a prepared transaction.
    pub pid: i32,
    /// The number of the session, counted from 0, and that of its transaction.
    pub transaction: (i32, u32),
    pub holds_shared: bool,
    pub holds_exclusive: bool,
    /// Since when it waits, in microseconds; the largest number if that is not noted yet.
    pub waits_since: Option<i64>,
}

impl Entry {
    pub fn holds(&self) -> bool {
        self.holds_shared || self.holds_exclusive
    }

    pub fn is_of(&self, kind: TagKind) -> bool {
        self.kind == kind as u16
    }

    pub fn is_same_lock(&self, kind: u16, number: u64) -> bool {
        (self.kind, self.number) == (kind, number)
    }

    /// Reads an element of the lock table; `None` if it isn't ours.
    fn read(lock: &LockInstanceData) -> Option<Self> {
        let tag = &lock.locktag;
        // SAFETY: a plain variable of the backend.
        let here = unsafe { pg_sys::MyDatabaseId }.to_u32();
        let ours = tag.locktag_type == pg_sys::LockTagType::LOCKTAG_ADVISORY as u8
            && tag.locktag_field1 == here
            && (TagKind::Queue as u16..=TagKind::Bell as u16).contains(&tag.locktag_field4);
        let waits = lock.waitLockMode != pg_sys::NoLock as i32;
        ours.then(|| Entry {
            kind: tag.locktag_field4,
            number: u64::from(tag.locktag_field2) << 32 | u64::from(tag.locktag_field3),
            pid: lock.pid,
            transaction: transaction(lock),
            holds_shared: holds(lock, Mode::Shared),
            holds_exclusive: holds(lock, Mode::Exclusive),
            waits_since: waits.then_some(if lock.waitStart == 0 { i64::MAX } else { lock.waitStart }),
        })
    }
}

fn holds(lock: &LockInstanceData, mode: Mode) -> bool {
    lock.holdMask & (1 << mode as i32) != 0
}

/// All of them, at one moment.
pub fn entries() -> Result<Vec<Entry>, Error> {
    // SAFETY: the closure owns nothing; the array has so many elements, in memory of the current context.
    unsafe {
        let data = catching(|| raw::GetLockStatusData())?;
        let count = usize::try_from((*data).nelements).unwrap_or_default();
        if count == 0 {
            return Ok(Vec::new());
        }
        Ok(std::slice::from_raw_parts((*data).locks, count).iter().filter_map(Entry::read).collect())
    }
}

#[cfg(not(any(feature = "pg17", feature = "pg18")))]
fn transaction(lock: &LockInstanceData) -> (i32, u32) {
    (lock.backend - 1, lock.lxid)
}

#[cfg(any(feature = "pg17", feature = "pg18"))]
fn transaction(lock: &LockInstanceData) -> (i32, u32) {
    (lock.vxid.procNumber, lock.vxid.localTransactionId)
}
