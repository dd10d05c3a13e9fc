//! The size of a verb's arguments, which is checked before any of them is read.

use super::error::Error;
use super::report::report;
use crate::pg::catch::raw;
use pgrx::pg_sys::{self, FunctionCallInfo, Oid, SysCacheIdentifier};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr;

/// The largest argument, in bytes. Of a document or a list it takes a multiple of this to read it.
const MOST_BYTES: usize = 16 << 20;

thread_local! {
    /// Which arguments of a function have a length of their own, a bit for each. They never change: another function
    /// has another oid.
    static OF_ANY_LENGTH: RefCell<HashMap<Oid, u64>> = RefCell::default();
}

/// Refuses a call with an argument that is too large.
///
/// # Safety
/// Called with the call of a running function, from a frame that owns nothing with a destructor, below which are only
/// frames of Postgres.
pub unsafe fn refuse_large(call: FunctionCallInfo) {
    // SAFETY: the caller's promise. Only the header of an argument is read, which says how long it is in memory.
    unsafe {
        let function = (*(*call).flinfo).fn_oid;
        let of_any_length =
            OF_ANY_LENGTH.with_borrow_mut(|known| *known.entry(function).or_insert_with(|| look_up(function)));
        for at in 0..(*call).nargs as usize {
            let argument = (*call).args.as_ptr().add(at);
            if of_any_length & (1 << at) == 0 || (*argument).isnull {
                continue;
            }
            let size = pg_sys::toast_raw_datum_size((*argument).value);
            if size > MOST_BYTES {
                let data = report(&Error::TooLarge { argument: name(function, at), size, most: MOST_BYTES });
                raw::ThrowErrorData(data.as_ptr());
            }
        }
    }
}

fn look_up(function: Oid) -> u64 {
    let mut types = ptr::null_mut();
    let mut count = 0;
    // SAFETY: a catalog lookup of a running transaction, about a function that is running; the array has that many
    // elements, and lives in the current memory context.
    unsafe {
        pg_sys::get_func_signature(function, &mut types, &mut count);
        let types = std::slice::from_raw_parts(types, count as usize);
        types
            .iter()
            .enumerate()
            .filter(|(_, argument)| pg_sys::get_typlen(**argument) == -1)
            .fold(0, |mask, (at, _)| mask | 1 << at)
    }
}

/// The name of an argument.
fn name(function: Oid, at: usize) -> String {
    let (mut types, mut names, mut modes) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: a catalog lookup of a running transaction, about a function that is running; the input arguments, which
    // have names, come first. The row is given back after the name was copied.
    unsafe {
        let row = pg_sys::SearchSysCache1(SysCacheIdentifier::PROCOID as i32, function.into());
        let count = pg_sys::get_func_arg_info(row, &mut types, &mut names, &mut modes);
        let name = match at < count as usize && !names.is_null() {
            true => CStr::from_ptr(*names.add(at)).to_string_lossy().into_owned(),
            false => format!("argument {}", at + 1),
        };
        pg_sys::ReleaseSysCache(row);
        name
    }
}
