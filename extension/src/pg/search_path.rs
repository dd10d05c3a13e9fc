//! Sets `search_path` for the time of one call.

use pgrx::pg_sys;
use std::ffi::CStr;

/// `search_path` has another value while this lives.
pub struct SearchPath(i32);

impl SearchPath {
    /// For our own SQL. The temporary schema comes last, so that it shadows nothing.
    pub const OURS: &'static CStr = c"pg_catalog, pg_temp";

    pub fn set(path: &CStr) -> Self {
        // SAFETY: C strings that outlive the call. The setting is local to the nest level that Drop, or an abort,
        // closes.
        unsafe {
            let level = pg_sys::NewGUCNestLevel();
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                path.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
            SearchPath(level)
        }
    }
}

impl Drop for SearchPath {
    fn drop(&mut self) {
        // Undone, not kept: what a user's trigger has SET meanwhile must not stay in the caller's session.
        // SAFETY: closes the level that `set` opened. After an error the abort does the same.
        unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
    }
}
