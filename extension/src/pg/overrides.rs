//! Settings that have another value for the time of one call.
//!
//! All through Postgres' own machinery, never by writing a setting's variable: what a user's trigger says with SET
//! LOCAL meanwhile is kept beside the value that it found, and would bring that value back later.

use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use std::time::Duration;

/// The settings that were set through this have another value while it lives.
pub struct Overrides {
    level: i32,
    keeps_others: bool,
}

impl Overrides {
    /// What the code that runs meanwhile sets for itself is undone at the end.
    pub fn begin() -> Self {
        // SAFETY: opens a level, which Drop or an abort closes.
        Overrides { level: unsafe { pg_sys::NewGUCNestLevel() }, keeps_others: false }
    }

    /// Other settings that the code that runs meanwhile sets for itself are kept, as a plain statement would keep them:
    /// a user's trigger may leave a message for a later one.
    pub fn keeping_others() -> Self {
        let mut overrides = Overrides::begin();
        overrides.keeps_others = true;
        overrides
    }

    /// The name is that of a setting of Postgres which any role may set, and the value one that it takes.
    pub fn set(self, name: &CStr, value: &CStr) -> Self {
        self.set_as(pg_sys::GucContext::PGC_USERSET, name, value, 0)
    }

    fn set_as(self, context: pg_sys::GucContext::Type, name: &CStr, value: &CStr, failure: i32) -> Self {
        // SAFETY: C strings that outlive the call. The setting is local to the level.
        unsafe {
            let action = match sabotage::removed(Guard::Overrides) {
                true => pg_sys::GucAction::GUC_ACTION_SET,
                false => pg_sys::GucAction::GUC_ACTION_SAVE,
            };
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                context,
                pg_sys::GucSource::PGC_S_SESSION,
                action,
                true,
                failure,
                false,
            );
        }
        self
    }

    /// A setting in milliseconds, of which zero means none: 1 ms at least, and no less than the time.
    pub fn set_time(self, name: &CStr, time: Duration) -> Self {
        let millis = i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX).max(1);
        let value = CString::new(millis.to_string()).expect("digits");
        self.set(name, &value)
    }
}

impl Drop for Overrides {
    fn drop(&mut self) {
        // SAFETY: closes the level that `begin` opened. After an error the abort has done the same, or will.
        unsafe { pg_sys::AtEOXact_GUC(self.keeps_others, self.level) };
    }
}
