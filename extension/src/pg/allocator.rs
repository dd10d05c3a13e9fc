//! Memory for Rust values: if there is none left, the session ends.
//!
//! Rust's own answer to a failed allocation is to abort the process. To Postgres that is a crash, after which it ends
//! all sessions and recovers. Raising an error instead would jump over Rust frames. So the session ends as with any
//! FATAL error: its transaction is rolled back, and the other sessions go on.

use crate::sabotage::{self, Guard};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_char, c_int};

/// The system's allocator, but for the failure.
pub struct OrFatal;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: OrFatal = OrFatal;

// SAFETY: the system's allocator does the work. If it fails, no caller goes on.
unsafe impl GlobalAlloc for OrFatal {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        or_fatal(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        or_fatal(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        or_fatal(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

fn or_fatal(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() && !sabotage::removed(Guard::OrFatal) {
        fatal(size);
    }
    block
}

/// Ends the session. Postgres keeps memory aside for the report of this error.
#[cold]
fn fatal(size: usize) {
    unsafe extern "C" {
        fn errstart(elevel: c_int, domain: *const c_char) -> bool;
        fn errcode(sqlerrcode: c_int) -> c_int;
        fn errmsg_internal(format: *const c_char, ...) -> c_int;
        fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
    }
    // SAFETY: the sequence of the macro ereport. At this level `errfinish` does not return: the process exits as it
    // does after any FATAL error. No lock of Rust's is held that the exit would need: the extension has one thread.
    unsafe {
        errstart(pgrx::PgLogLevel::FATAL as c_int, std::ptr::null());
        errcode(pgrx::pg_sys::errcodes::PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
        errmsg_internal(c"out of memory: volguard could not allocate %zu bytes".as_ptr(), size);
        errfinish(c"allocator.rs".as_ptr(), 0, c"fatal".as_ptr());
    }
}
