//! Postgres' error reports: those that it raised, kept as values, and those that are made from an [`Error`].
//!
//! pgrx's own error path is not used because it knows only the SQLSTATEs of Postgres' list: a `VG001`, or a code that a
//! user's trigger raised, would arrive as `XX000`. It also drops the names of constraint, table and column.

use super::clip;
use super::error::Error;
use pgrx::pg_sys::{self, ErrorData};
use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

/// A report that Postgres raised and [`super::catch`] caught. It lives in the transaction's memory.
#[derive(Debug)]
pub struct PgError(pub NonNull<ErrorData>);

impl PgError {
    pub fn sqlstate(&self) -> [u8; 5] {
        decode(self.data().sqlerrcode)
    }

    pub fn message(&self) -> String {
        text(self.data().message)
    }

    /// The constraint that was violated; empty if it was none.
    pub fn constraint(&self) -> String {
        text(self.data().constraint_name)
    }

    pub fn set_message(&mut self, message: &str) {
        // SAFETY: only this value refers to the report, which lives in the transaction's memory as the new message
        // does.
        unsafe { self.0.as_mut().message = copy(message, pg_sys::TopTransactionContext) };
    }

    /// The function of Postgres that raised it.
    pub fn function(&self) -> String {
        text(self.data().funcname)
    }

    /// Clips its texts, which a trigger may have made of any size, and frees what was longer.
    pub fn clip(&mut self) {
        // SAFETY: as in `set_message`.
        let data = unsafe { self.0.as_mut() };
        for field in [
            &mut data.message,
            &mut data.detail,
            &mut data.detail_log,
            &mut data.hint,
            &mut data.context,
            &mut data.internalquery,
        ] {
            clip_field(field);
        }
    }

    fn data(&self) -> &ErrorData {
        // SAFETY: made by CopyErrorData in a context that lives as long as the transaction, as this value does.
        unsafe { self.0.as_ref() }
    }
}

/// Makes the report of an error that is raised next, in the memory of the innermost subtransaction: it outlives every
/// Rust value, and goes with a savepoint whose errors are caught.
pub fn report(error: &Error) -> NonNull<ErrorData> {
    let message = error.to_string();
    let (detail, hint) = (error.detail(), error.hint());
    // SAFETY: a verb runs in a transaction, whose context exists; the allocator never returns null, and a zeroed
    // ErrorData is valid for every field that stays unset.
    unsafe {
        let context = pg_sys::CurTransactionContext;
        let data = pg_sys::MemoryContextAllocZero(context, size_of::<ErrorData>());
        let data = data.cast::<ErrorData>();
        (*data).elevel = pgrx::PgLogLevel::ERROR as i32;
        (*data).sqlerrcode = encode(error.sqlstate());
        (*data).message = copy(&message, context);
        if let Some(detail) = detail {
            (*data).detail = copy(&detail, context);
        }
        if let Some(hint) = hint {
            (*data).hint = copy(&hint, context);
        }
        (*data).assoc_context = context;
        NonNull::new_unchecked(data)
    }
}

/// A field of a report; empty where it is unset.
fn text(field: *const c_char) -> String {
    if field.is_null() {
        return String::new();
    }
    // SAFETY: a field that is set is a C string in the report's memory.
    unsafe { CStr::from_ptr(field) }.to_string_lossy().into_owned()
}

fn clip_field(field: &mut *mut c_char) {
    if field.is_null() {
        return;
    }
    // SAFETY: a C string of its own in the report's memory; no reference to it is left when it is freed.
    unsafe {
        let bytes = CStr::from_ptr(*field).to_bytes();
        if bytes.len() <= clip::LONGEST {
            return;
        }
        let start = String::from_utf8_lossy(&bytes[..=clip::LONGEST]).into_owned();
        pg_sys::pfree(field.cast());
        *field = copy(&clip::clipped(&start), pg_sys::TopTransactionContext);
    }
}

/// A copy of a text in this memory; a NUL byte can't be in a report and ends it.
fn copy(text: &str, context: pg_sys::MemoryContext) -> *mut c_char {
    let text = text.split('\0').next().unwrap_or_default();
    // SAFETY: the block is one byte longer than the text and zeroed, so the copy is terminated.
    unsafe {
        let block = pg_sys::MemoryContextAllocZero(context, text.len() + 1).cast();
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), block, text.len());
        block
    }
}

/// Postgres' `MAKE_SQLSTATE`: six bits a character.
const fn encode(code: [u8; 5]) -> i32 {
    let mut value = 0;
    let mut at = 0;
    while at < 5 {
        value |= ((code[at] as i32 - '0' as i32) & 0x3F) << (6 * at);
        at += 1;
    }
    value
}

/// The inverse of [`encode`].
const fn decode(value: i32) -> [u8; 5] {
    let mut code = [0; 5];
    let mut at = 0;
    while at < 5 {
        code[at] = ((value >> (6 * at)) & 0x3F) as u8 + b'0';
        at += 1;
    }
    code
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn sqlstates_survive_the_packing() {
        for code in [*b"VG001", *b"55P03", *b"00000", *b"ZZZZZ"] {
            assert_eq!(decode(encode(code)), code);
        }
    }
}
