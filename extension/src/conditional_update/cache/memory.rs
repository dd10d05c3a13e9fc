//! Memory of Postgres that lasts as long as a Rust value.

use pgrx::pg_sys;

/// A memory context of its own.
#[derive(Debug)]
pub struct Memory(pg_sys::MemoryContext);

impl Memory {
    pub fn new() -> Self {
        // SAFETY: the parent lives as long as the backend; sizes as ALLOCSET_SMALL_SIZES has them.
        Memory(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CacheMemoryContext,
                c"volguard recipe".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            )
        })
    }

    /// What `body` allocates lives as long as this.
    pub fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        // SAFETY: both contexts outlive the call. A panic unwinds to an abort, which sets the context anew.
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
        // SAFETY: created by `new`, deleted once; whoever refers to what is in it has it beside this.
        unsafe { pg_sys::MemoryContextDelete(self.0) };
    }
}
