//! Memory of Postgres that lives as long as a Rust value.

use pgrx::pg_sys;

/// A memory context.
#[derive(Debug)]
pub struct Memory(pg_sys::MemoryContext);

impl Memory {
    pub fn new() -> Self {
        // SAFETY: the parent lives as long as the backend; sizes as ALLOCSET_SMALL_SIZES has them.
        Memory(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CacheMemoryContext,
                c"volguard cached update".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            )
        })
    }

    /// What `body` allocates lives as long as this value.
    pub fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        // SAFETY: both contexts outlive the call. A panic ends in an abort, which sets the context anew.
        unsafe {
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = self.0;
            let result = body();
            pg_sys::CurrentMemoryContext = before;
            result
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: created by `new`, deleted once; values in it are kept beside this one.
        unsafe { pg_sys::MemoryContextDelete(self.0) };
    }
}
