//! Until when the lock can be relied on, in memory that front and session share.

use super::clock::{Nanos, now};
use crate::error::Failure;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Written by the session, read by the front. Shared with the processes that are forked later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    cells: &'static [AtomicU64; 2],
}

impl Deadline {
    pub(super) fn shared() -> Result<Deadline, Failure> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice, which replaces none.
        let page = unsafe { mmap_anonymous(ptr::null_mut(), size_of::<[AtomicU64; 2]>(), protection, flags) };
        let page = page.map_err(Failure::system("shared memory"))?;
        // SAFETY: the page is never unmapped, aligned, zeroed, which is valid for atomics, and used through them alone.
        Ok(Deadline { cells: unsafe { &*page.cast::<[AtomicU64; 2]>() } })
    }

    /// Sets the moment at which the command must be dead.
    pub(super) fn set(&self, at: Nanos) {
        self.cells[0].store(at, Ordering::Release);
    }

    /// The moment at which the command must be dead.
    pub(super) fn get(&self) -> Nanos {
        self.cells[0].load(Ordering::Acquire)
    }

    /// Sets how long before the deadline the command is asked to end.
    pub(super) fn set_grace(&self, grace: Duration) {
        self.cells[1].store(super::clock::nanos(grace), Ordering::Release);
    }

    pub(super) fn grace(&self) -> Nanos {
        self.cells[1].load(Ordering::Acquire)
    }

    pub(super) fn has_passed(&self) -> bool {
        now() >= self.get()
    }
}
