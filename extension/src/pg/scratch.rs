//! Memory of Postgres for a moment.

use pgrx::pg_sys;

/// Runs `body` in a memory context of its own, which is gone afterwards: no allocation of Postgres may be part of the result.
pub fn scratch<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: sizes as ALLOCSET_SMALL_SIZES has them. The parent outlives the call. A panic unwinds to an abort, which sets
    // the context anew and frees the parent with what is in it.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        let context = pg_sys::AllocSetContextCreateInternal(
            before,
            c"volguard lookup".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
        );
        pg_sys::CurrentMemoryContext = context;
        let result = body();
        pg_sys::CurrentMemoryContext = before;
        pg_sys::MemoryContextDelete(context);
        result
    }
}
