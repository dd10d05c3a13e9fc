//! A `search_path` for a while.

use pgrx::pg_sys;
use std::ffi::CStr;

/// `search_path` is another one while this lives.
pub struct SearchPath(i32);

impl SearchPath {
    /// For SQL of ours. The temporary schema comes last, and so shadows nothing.
    pub const OURS: &'static CStr = c"pg_catalog, pg_temp";

    pub fn set(path: &CStr) -> Self {
        // SAFETY: C strings that outlive the call; the setting is local to the nest level that Drop, or an abort, closes.
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
        // Undone and not kept: otherwise what a user's trigger SET meanwhile would stay set in the caller's session.
        // SAFETY: closes the level that `set` opened. After an error the abort that follows would do the same.
        unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
    }
}
