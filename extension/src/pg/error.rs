//! The extension's one error type and its conversion to a Postgres report.
//!
//! An error is a value and travels with `?`. It becomes a report only in [`crate::pg::export`], where no Rust frame with
//! a destructor is left on the stack. pgrx's own error path is not used because it knows only the SQLSTATEs of
//! Postgres' list (a `VG001`, or a code that a user's trigger raised, would arrive as `XX000`) and drops the names of
//! constraint, table and column.

use pgrx::pg_sys;
use std::ffi::CStr;
use std::ptr::NonNull;

/// What a verb can refuse with. The text is the report's message; see [`Error::sqlstate`] and [`Error::hint`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("service {0} is fenced or unknown")]
    ServiceFenced(i64),
    #[error("the lease of service {0} has run out")]
    LeaseExpired(i64),
    #[error("service {0} is alive")]
    ServiceAlive(i64),
    #[error("token {0} is not held")]
    TokenNotHeld(i64),
    #[error("{argument} must not be null")]
    Null { argument: &'static str },
    #[error("{argument} {problem}")]
    Invalid {
        argument: &'static str,
        problem: String,
        hint: &'static str,
    },
    #[error("{path}: {problem}")]
    Document {
        path: String,
        problem: String,
        hint: String,
    },
    #[error("{what}")]
    Denied { what: String, hint: &'static str },
    #[error("{what}")]
    Unsupported { what: String, hint: &'static str },
    #[error("{what}")]
    Undefined { what: String, hint: String },
    #[error("{path}: {problem}")]
    Column {
        path: String,
        problem: String,
        hint: String,
    },
    #[error("{what}")]
    Busy { what: String, hint: &'static str },
    #[error("{what}")]
    Ambiguous { what: String, hint: &'static str },
    #[error("{place} {} is not a relation", .oid.to_u32())]
    NoTable { place: String, oid: pg_sys::Oid },
    #[error("{name} is {kind}")]
    NotATable { name: String, kind: &'static str },
    #[error("{path}: {problem}")]
    NoOperator {
        path: String,
        problem: String,
        hint: &'static str,
    },
    #[error("{path}: {problem}")]
    RawSql { path: String, problem: String },
    #[error("cannot update view {view}")]
    NotUpdatable { view: String },
    #[error("a trigger suppressed the {write} {table}")]
    Suppressed { write: &'static str, table: String },
    #[error("canceling statement due to lock timeout")]
    LockTimeout,
    #[error("token {0} is in use: the sequence volguard.token_counter has fallen back")]
    TokenInUse(i64),
    #[error("volguard's tables are missing")]
    NotInstalled,
    /// An error that Postgres raised, kept with every field it came with.
    #[error("{}", .0.message())]
    Postgres(PgError),
}

impl Error {
    /// An argument with a value that can't be taken.
    pub fn invalid(argument: &'static str, problem: impl Into<String>, hint: &'static str) -> Self {
        Error::Invalid {
            argument,
            problem: problem.into(),
            hint,
        }
    }

    /// Puts the place that an error of Postgres is about in front of its message.
    pub fn at(self, path: &str) -> Self {
        if let Error::Postgres(PgError(mut data)) = self {
            let message = copy(&format!("{path}: {self}"));
            // SAFETY: the report lives in the transaction's memory, as the new message does, and is only ours.
            unsafe { data.as_mut().message = message };
        }
        self
    }

    /// Names another place than the one in front of the message.
    pub fn moved(self, from: &str, to: &str) -> Self {
        let moved = |text: &str| Some(format!("{to}{}", text.strip_prefix(from)?));
        match self {
            Error::Postgres(PgError(mut data)) => {
                if let Some(message) = moved(&self.to_string()) {
                    // SAFETY: as in `at`.
                    unsafe { data.as_mut().message = copy(&message) };
                }
                self
            }
            Error::Document {
                path,
                problem,
                hint,
            } => Error::Document {
                path: moved(&path).unwrap_or(path),
                problem,
                hint,
            },
            other => other,
        }
    }

    /// The five characters that clients decide by.
    pub fn sqlstate(&self) -> [u8; 5] {
        *match self {
            Error::ServiceFenced(_) => b"VG001",
            Error::TokenNotHeld(_) => b"VG002",
            Error::Document { .. } => b"VG003",
            Error::LeaseExpired(_) => b"VG004",
            Error::ServiceAlive(_) => b"55000",
            Error::TokenInUse(_) => b"23505",
            Error::Null { .. } => b"22004",
            Error::Invalid { .. } => b"22023",
            Error::Denied { .. } => b"42501",
            Error::Unsupported { .. } => b"0A000",
            Error::Undefined { .. } | Error::NotInstalled => b"42704",
            Error::Column { .. } => b"42703",
            Error::Busy { .. } | Error::LockTimeout => b"55P03",
            Error::Ambiguous { .. } => b"21000",
            Error::NoTable { .. } => b"42P01",
            Error::NotATable { .. } => b"42809",
            Error::NoOperator { .. } => b"42883",
            Error::RawSql { .. } => b"42601",
            Error::NotUpdatable { .. } => b"42809",
            Error::Suppressed { .. } => b"09000",
            Error::Postgres(error) => return error.sqlstate(),
        }
    }

    /// What the caller can do about it.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::ServiceFenced(_) => {
                "Stop the work of this service; call volguard.register_service to start as a new incarnation."
            }
            Error::LeaseExpired(_) => {
                "Call volguard.heartbeat; it succeeds unless the service is fenced."
            }
            Error::ServiceAlive(_) => {
                "Only dead services are cleaned up. Stop the service and wait for its lease, or take single locks away with volguard.force_release."
            }
            Error::TokenNotHeld(_) => {
                "The lock was released, taken away, or its service fenced: stop the work that it guarded."
            }
            Error::Null { .. } => "Pass a value.",
            Error::Invalid { hint, .. }
            | Error::Denied { hint, .. }
            | Error::Unsupported { hint, .. }
            | Error::Ambiguous { hint, .. }
            | Error::Busy { hint, .. } => hint,
            Error::Document { hint, .. }
            | Error::Column { hint, .. }
            | Error::Undefined { hint, .. } => hint,
            Error::NoTable { .. } => "Pass a table by its name, or the OID of one that exists.",
            Error::NotATable { .. } => "Pass a table or a partitioned table.",
            Error::NoOperator { hint, .. } => hint,
            Error::RawSql { .. } => {
                "Write one SQL expression, with every bracket, quote and comment closed; nothing can stand behind it."
            }
            Error::NotUpdatable { .. } => {
                "Only views that Postgres can update by itself are taken, without rules and INSTEAD OF triggers. Name the table behind the view."
            }
            Error::Suppressed { .. } => "A BEFORE trigger of the table returned NULL.",
            Error::TokenInUse(_) => {
                "Have the extension's owner set it beyond every token that was ever drawn: SELECT setval('volguard.token_counter', ...)."
            }
            Error::NotInstalled => "Run CREATE EXTENSION volguard in this database.",
            Error::LockTimeout => "lock_timeout is shorter than the wait that was asked for.",
            Error::Postgres(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// Lays the report out in the transaction's memory, where it outlives every Rust value.
    pub fn error_data(&self) -> NonNull<pg_sys::ErrorData> {
        let message = self.to_string();
        let hint = self.hint();
        // SAFETY: a verb runs in a transaction, whose context exists; the allocator never returns null, and a zeroed
        // ErrorData is valid for every field that stays unset.
        unsafe {
            let size = size_of::<pg_sys::ErrorData>();
            let data = pg_sys::MemoryContextAllocZero(pg_sys::TopTransactionContext, size)
                .cast::<pg_sys::ErrorData>();
            (*data).elevel = pgrx::PgLogLevel::ERROR as i32;
            (*data).sqlerrcode = encode(self.sqlstate());
            (*data).message = copy(&message);
            if let Some(hint) = hint {
                (*data).hint = copy(&hint);
            }
            (*data).assoc_context = pg_sys::TopTransactionContext;
            NonNull::new_unchecked(data)
        }
    }
}

/// Copies text into the transaction's memory; a NUL byte can't be in a report and ends it.
fn copy(text: &str) -> *mut std::ffi::c_char {
    let text = text.split('\0').next().unwrap_or_default();
    // SAFETY: the block is one byte longer than the text and zeroed, so the copy is terminated.
    unsafe {
        let block =
            pg_sys::MemoryContextAllocZero(pg_sys::TopTransactionContext, text.len() + 1).cast();
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), block, text.len());
        block
    }
}

/// Postgres' `MAKE_SQLSTATE`: six bits a character.
pub const fn encode(code: [u8; 5]) -> i32 {
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

/// A report that Postgres raised and [`crate::pg::catch`] caught. It lives in the transaction's memory.
#[derive(Debug)]
pub struct PgError(pub NonNull<pg_sys::ErrorData>);

impl PgError {
    pub fn sqlstate(&self) -> [u8; 5] {
        // SAFETY: made by CopyErrorData in a context that lives as long as the transaction, as this value does.
        decode(unsafe { self.0.as_ref().sqlerrcode })
    }

    pub fn message(&self) -> String {
        // SAFETY: as above.
        self.field(unsafe { self.0.as_ref().message })
    }

    /// The constraint that was violated; empty if it was none.
    pub fn constraint(&self) -> String {
        // SAFETY: as above.
        self.field(unsafe { self.0.as_ref().constraint_name })
    }

    fn field(&self, text: *const std::ffi::c_char) -> String {
        if text.is_null() {
            return String::new();
        }
        // SAFETY: a C string of the same allocation.
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    }
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
