//! The functions that SQL calls: how they are exported, and how a verb's error leaves the extension.

use super::catch::raw;
use super::durability;
use super::error::Error;
use super::report::report;
use super::spi::Arg;
use super::version;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, FunctionCallInfo};
use std::cell::Cell;
use std::ptr::NonNull;

/// A report on its way out.
#[derive(Clone, Copy)]
enum Pending {
    /// Our own. Postgres still has to add the context: which function, called by which line.
    New(NonNull<pg_sys::ErrorData>),
    /// Raised by Postgres, with its context.
    Caught(NonNull<pg_sys::ErrorData>),
}

thread_local! {
    /// The report of the verb that has just returned, on its way to [`raise_pending`].
    static PENDING: Cell<Option<Pending>> = const { Cell::new(None) };
}

/// Runs a verb. Its error is kept for [`raise_pending`], and `otherwise` is returned for the moment.
///
/// What it writes is on disk before others see it.
pub fn verb<T>(otherwise: T, body: impl FnOnce() -> Result<T, Error>) -> T {
    durability::require();
    passing_verb(otherwise, body)
}

/// Runs a verb whose effect a crash may undo: the heartbeat, after which another one comes.
pub fn passing_verb<T>(otherwise: T, body: impl FnOnce() -> Result<T, Error>) -> T {
    version::check().and_then(|()| body()).unwrap_or_else(|error| {
        PENDING.set(Some(match error {
            Error::Postgres(caught) => Pending::Caught(caught.0),
            own => Pending::New(report(&own)),
        }));
        otherwise
    })
}

/// Raises the error of the verb that has just returned, if it failed.
///
/// # Safety
/// Called from a frame that owns nothing with a destructor, below which are only frames of Postgres.
pub unsafe fn raise_pending() {
    // SAFETY: the reports live in Postgres' memory. Nothing with a destructor is jumped over, as the caller promises.
    unsafe {
        match PENDING.replace(None) {
            None => {}
            Some(Pending::New(data)) => raw::ThrowErrorData(data.as_ptr()),
            Some(Pending::Caught(data)) => raw::ReThrowError(data.as_ptr()),
        }
    }
}

/// A value of the composite type that the running function is declared to return.
///
/// # Safety
/// `fcinfo` is that of the running function, whose type has these fields.
pub unsafe fn composite<const N: usize>(fcinfo: FunctionCallInfo, fields: [Arg; N]) -> Datum {
    let mut values = fields.map(|field| field.unwrap_or(Datum::null()));
    let mut nulls = fields.map(|field| field.is_none());
    // SAFETY: the caller's promise; the declared type is looked up by its Oid, so the search_path plays no part. Its
    // descriptor belongs to the type cache and is given back.
    unsafe {
        let declared = pg_sys::get_func_rettype((*(*fcinfo).flinfo).fn_oid);
        let descriptor = pg_sys::lookup_rowtype_tupdesc(declared, -1);
        let tuple = pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::DecrTupleDescRefCount(descriptor);
        pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)
    }
}

/// Refuses a verb in a transaction that can't write, as on a standby, before the verb looks at anything: what a standby
/// shows is old, and a lock that it shows as held or free, or a token, may be another one's by now.
///
/// # Safety
/// As [`raise_pending`].
pub unsafe fn refuse_read_only(verb: &'static str) {
    // SAFETY: a plain variable of the backend, which is set in every transaction on a standby; the rest is the caller's
    // promise.
    unsafe {
        if !pg_sys::XactReadOnly || sabotage::removed(Guard::MayWrite) {
            return;
        }
        let data = report(&match pg_sys::RecoveryInProgress() {
            true => Error::Standby { verb },
            false => Error::ReadOnly { verb },
        });
        raw::ThrowErrorData(data.as_ptr());
    }
}

/// Exports verbs to SQL under the symbol that the `CREATE FUNCTION` statements name.
///
/// `acquire => acquire_wrapper` makes the symbol `volguard_acquire` of what `#[pg_extern] fn acquire` generated. All of
/// them write or decide, so none runs in a transaction that can't write.
macro_rules! export {
    ($($symbol:ident, $info:ident => $wrapper:path;)*) => {$(
        $crate::pg::export::exported!($symbol, $info, $wrapper, $crate::pg::export::refuse_read_only(stringify!($symbol)));
    )*};
}

/// As `export`, for functions that only show what there is: they run in every transaction.
macro_rules! export_readers {
    ($($symbol:ident, $info:ident => $wrapper:path;)*) => {$(
        $crate::pg::export::exported!($symbol, $info, $wrapper, ());
    )*};
}

macro_rules! exported {
    ($symbol:ident, $info:ident, $wrapper:path, $before:expr) => {
        /// # Safety
        /// Called by Postgres' function manager only.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(fcinfo: ::pgrx::pg_sys::FunctionCallInfo) -> ::pgrx::pg_sys::Datum {
            // SAFETY: the arguments are those that Postgres called with; when the wrapper has returned, nothing with
            // a destructor is left in this frame.
            unsafe {
                $before;
                $crate::pg::argument_size::refuse_large(fcinfo);
                let result = $wrapper(fcinfo);
                $crate::pg::export::raise_pending();
                result
            }
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
            const RECORD: ::pgrx::pg_sys::Pg_finfo_record = ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }
    };
}
pub(crate) use {export, export_readers, exported};
