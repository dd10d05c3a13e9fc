//! A memory context of Postgres for the time of one call.

use pgrx::pg_sys;

/// Runs `body` in a memory context of its own, which is deleted afterwards. No allocation of Postgres may be part of
/// the result.
pub fn scratch<R>(body: impl FnOnce() -> R) -> R {
    kept_if(body, |_| false)
}

/// As [`scratch`]. The context stays, as long as that around it, if `keep` says of the result that it has a part in it.
pub fn kept_if<R>(body: impl FnOnce() -> R, keep: impl FnOnce(&R) -> bool) -> R {
    // SAFETY: the sizes are those of ALLOCSET_SMALL_SIZES, and the parent outlives the call. A panic unwinds to an
    // abort, which sets the current context and frees the parent with all that is in it.
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
        if !keep(&result) {
            pg_sys::MemoryContextDelete(context);
        }
        result
    }
}
