//! The rows of a function that returns a set, handed to the executor all at once. It knows their columns already:
//! pgrx's iterator would look them up at each call.

use super::catch::{catching, raw};
use super::error::Error;
use super::spi::Arg;
use pgrx::pg_sys::{self, Datum, FunctionCallInfo, NodeTag, ReturnSetInfo, SetFunctionReturnMode};

/// Returns rows from the running function.
///
/// # Safety
/// `fcinfo` is that of the running function, which is declared to return a table with columns of these types.
pub unsafe fn return_rows<const N: usize>(fcinfo: FunctionCallInfo, rows: Vec<[Arg; N]>) -> Result<Datum, Error> {
    const AT_ONCE: u32 = SetFunctionReturnMode::SFRM_Materialize;
    const BACKWARD: u32 = SetFunctionReturnMode::SFRM_Materialize_Random;
    // SAFETY: the caller's promise: the executor says how it takes the rows, and ends the store. The closure owns
    // nothing; what it reads is outside of it.
    unsafe {
        let caller = (*fcinfo).resultinfo.cast::<ReturnSetInfo>();
        let takes_rows = !caller.is_null() && (*caller).type_ == NodeTag::T_ReturnSetInfo;
        if !takes_rows || (*caller).allowedModes as u32 & AT_ONCE == 0 || (*caller).expectedDesc.is_null() {
            return Err(Error::Unsupported {
                what: "a function that returns rows was called where none can be taken".to_owned(),
                hint: "Call it in FROM.",
            });
        }
        catching(|| {
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = (*(*caller).econtext).ecxt_per_query_memory;
            let backward = (*caller).allowedModes as u32 & BACKWARD != 0;
            let store = raw::tuplestore_begin_heap(backward, false, pg_sys::work_mem);
            pg_sys::CurrentMemoryContext = before;
            (*caller).returnMode = AT_ONCE;
            (*caller).setResult = store;
            for row in &rows {
                let (mut values, mut nulls) = ([Datum::null(); N], [true; N]);
                for (at, value) in row.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))) {
                    (values[at], nulls[at]) = (value, false);
                }
                raw::tuplestore_putvalues(store, (*caller).expectedDesc, values.as_mut_ptr(), nulls.as_mut_ptr());
            }
        })?;
    }
    Ok(Datum::null())
}
