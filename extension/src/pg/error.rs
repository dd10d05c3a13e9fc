//! The extension's one error type: each error with its message, its SQLSTATE and its HINT.
//!
//! An error is a value and travels with `?`. It becomes a report of Postgres ([`super::report`]) only in
//! [`super::export`], where no Rust frame with a destructor is left on the stack.

use super::report::PgError;
use pgrx::pg_sys;

/// Why a call fails. The text is the report's message; see [`Error::sqlstate`] and [`Error::hint`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("service {0} is fenced or unknown")]
    ServiceFenced(i64),
    #[error("service {0} is unknown")]
    ServiceUnknown(i64),
    #[error("the lease of service {0} has run out")]
    LeaseExpired(i64),
    #[error("service {0} is alive")]
    ServiceAlive(i64),
    #[error("token {0} is not held")]
    TokenNotHeld(i64),
    #[error("{argument} must not be null")]
    Null { argument: &'static str },
    #[error("{argument} {problem}")]
    Invalid { argument: &'static str, problem: String, hint: &'static str },
    #[error("{argument} is {size} bytes long; {most} are allowed")]
    TooLarge { argument: String, size: usize, most: usize },
    #[error("{path}: {problem}")]
    Document { path: String, problem: String, hint: String },
    #[error("{what}")]
    Denied { what: String, hint: &'static str },
    #[error("{what}")]
    Unsupported { what: String, hint: &'static str },
    #[error("{what}")]
    Undefined { what: String, hint: String },
    #[error("{path}: {problem}")]
    Column { path: String, problem: String, hint: String },
    #[error("{what}")]
    Busy { what: String, hint: &'static str },
    /// A lock was not free in time. `holders`: the processes that have it, zero for a prepared transaction.
    #[error("{what}")]
    Waited { what: String, holders: Vec<i32>, hint: &'static str },
    /// What the call is about is in another state than the call needs.
    #[error("{what}")]
    State { what: String, hint: &'static str },
    #[error("{what}")]
    Remains { what: String, hint: &'static str },
    #[error("{what}")]
    Ambiguous { what: String, hint: &'static str },
    #[error("{place} {} is not a relation", .oid.to_u32())]
    NoTable { place: String, oid: pg_sys::Oid },
    #[error("{name} is {kind}")]
    NotATable { name: String, kind: &'static str },
    #[error("{path}: {problem}")]
    NoOperator { path: String, problem: String, hint: &'static str },
    #[error("{path}: {problem}")]
    RawSql { path: String, problem: String },
    #[error("a rule ON UPDATE DO INSTEAD replaces updates of {table}")]
    Replaced { table: String },
    #[error("cannot update view {view}")]
    NotUpdatable { view: String },
    #[error("a trigger suppressed the {write} {table}")]
    Suppressed { write: &'static str, table: String },
    #[error("canceling statement due to lock timeout")]
    LockTimeout,
    #[error("{0} calls wait already, and volguard.max_waiters allows no more")]
    TooManyWaiters(u64),
    #[error("the statement took longer than volguard.rule_timeout allows")]
    OutOfTime,
    #[error("cannot execute {} during recovery", name(.verb))]
    Standby { verb: &'static str },
    #[error("cannot execute {} in a read-only transaction", name(.verb))]
    ReadOnly { verb: &'static str },
    #[error("token {0} is in use: the sequence volguard.clock was set back")]
    TokenInUse(i64),
    #[error("the sequence volguard.clock stays behind the server's clock")]
    ClockBehind,
    #[error("the sequence volguard.clock was altered")]
    SequenceAltered,
    #[error("the sequence volguard.clock is at its end")]
    SequenceExhausted,
    #[error("volguard's tables are missing")]
    NotInstalled,
    /// An error that Postgres raised, kept with every field it came with.
    #[error("{}", .0.message())]
    Postgres(PgError),
}

impl Error {
    /// An argument has a value that isn't allowed.
    pub fn invalid(argument: &'static str, problem: impl Into<String>, hint: &'static str) -> Self {
        Error::Invalid { argument, problem: problem.into(), hint }
    }

    /// Puts the path of the argument's part that an error of Postgres is about in front of its message.
    pub fn at(mut self, path: &str) -> Self {
        if let Error::Postgres(report) = &mut self {
            report.set_message(&format!("{path}: {}", report.message()));
        }
        self
    }

    /// Puts another path in front of the message, in place of `from`.
    pub fn moved(self, from: &str, to: &str) -> Self {
        let moved = |text: &str| Some(format!("{to}{}", text.strip_prefix(from)?));
        match self {
            Error::Postgres(mut report) => {
                if let Some(message) = moved(&report.message()) {
                    report.set_message(&message);
                }
                Error::Postgres(report)
            }
            Error::Document { path, problem, hint } => {
                Error::Document { path: moved(&path).unwrap_or(path), problem, hint }
            }
            other => other,
        }
    }

    /// The code by which clients decide what to do.
    pub fn sqlstate(&self) -> [u8; 5] {
        *match self {
            Error::ServiceFenced(_) | Error::ServiceUnknown(_) => b"VG001",
            Error::TokenNotHeld(_) => b"VG002",
            Error::Document { .. } => b"VG003",
            Error::LeaseExpired(_) => b"VG004",
            Error::ServiceAlive(_) | Error::State { .. } => b"55000",
            Error::TokenInUse(_) => b"23505",
            Error::ClockBehind | Error::SequenceAltered | Error::SequenceExhausted => b"55000",
            Error::Null { .. } => b"22004",
            Error::Invalid { .. } => b"22023",
            Error::TooLarge { .. } => b"54000",
            Error::Denied { .. } => b"42501",
            Error::Unsupported { .. } => b"0A000",
            Error::Undefined { .. } | Error::NotInstalled => b"42704",
            Error::Column { .. } => b"42703",
            Error::Busy { .. } | Error::Waited { .. } | Error::LockTimeout => b"55P03",
            Error::TooManyWaiters(_) => b"53300",
            Error::Remains { .. } => b"2BP01",
            Error::OutOfTime => b"57014",
            Error::Ambiguous { .. } => b"21000",
            Error::Standby { .. } | Error::ReadOnly { .. } => b"25006",
            Error::NoTable { .. } => b"42P01",
            Error::NotATable { .. } | Error::Replaced { .. } | Error::NotUpdatable { .. } => b"42809",
            Error::NoOperator { .. } => b"42883",
            Error::RawSql { .. } => b"42601",
            Error::Suppressed { .. } => b"09000",
            Error::Postgres(error) => return error.sqlstate(),
        }
    }

    /// What else is known.
    pub fn detail(&self) -> Option<String> {
        let Error::Waited { holders, .. } = self else {
            return None;
        };
        let name = |pid: &i32| match pid {
            0 => "a prepared transaction".to_owned(),
            pid => format!("process {pid}"),
        };
        let names: Vec<String> = holders.iter().map(name).collect();
        (!names.is_empty()).then(|| format!("It is held by {}.", names.join(", ")))
    }

    /// What the caller can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::ServiceFenced(_) => {
                "Stop the work of this service; call volguard.register_service to start as a new incarnation."
            }
            Error::ServiceUnknown(_) => {
                "volguard.service_status lists the services. A fenced one is removed when nothing of it is left and volguard.service_retention is over. Without service_id the call cleans up all dead services."
            }
            Error::LeaseExpired(_) => "Call volguard.heartbeat; it succeeds unless the service is fenced.",
            Error::ServiceAlive(_) => {
                "Only dead services are cleaned up. Stop the service and wait for the end of its lease; or, as an operator, declare it dead with volguard.fence_service, or take single locks away with volguard.force_release."
            }
            Error::TokenNotHeld(_) => {
                "The lock was released or taken away, or its service was fenced. Stop the work that it guarded."
            }
            Error::Null { .. } => "Pass a value.",
            Error::TooLarge { .. } => "Pass less in one call, or a reference to where it is stored.",
            Error::Invalid { hint, .. }
            | Error::Denied { hint, .. }
            | Error::Unsupported { hint, .. }
            | Error::Ambiguous { hint, .. }
            | Error::NoOperator { hint, .. }
            | Error::Busy { hint, .. }
            | Error::Waited { hint, .. }
            | Error::State { hint, .. }
            | Error::Remains { hint, .. } => hint,
            Error::Document { hint, .. } | Error::Column { hint, .. } | Error::Undefined { hint, .. } => hint,
            Error::NoTable { .. } => "Pass a table by its name, or the OID of one that exists.",
            Error::NotATable { .. } => "Pass a table or a partitioned table.",
            Error::Replaced { .. } => "Drop or disable the rule: it works on rows that are not locked.",
            Error::RawSql { .. } => {
                "Pass one SQL expression that closes every bracket, quote and comment, and nothing after it."
            }
            Error::NotUpdatable { .. } => {
                "Pass a view that Postgres can update by itself, without rules and INSTEAD OF triggers, or the table behind the view."
            }
            Error::Suppressed { .. } => "A BEFORE trigger of the table returned NULL.",
            Error::TokenInUse(_) => {
                "Try again: the sequence counts on, and is moved forward when it is behind the server's clock."
            }
            Error::ClockBehind => {
                "Try again, in another session: this one may have taken values of the sequence in advance."
            }
            Error::SequenceAltered => {
                "Have the extension's owner run: ALTER SEQUENCE volguard.clock INCREMENT 1 CACHE 1 MAXVALUE 9007199254740991 NO CYCLE."
            }
            Error::SequenceExhausted => {
                "It was set far ahead of the time. Have the extension's owner set it to the largest number that is in use, with setval."
            }
            Error::NotInstalled => "Run CREATE EXTENSION volguard in this database.",
            Error::Standby { .. } => {
                "This server is a standby, where only the views can be read. Connect to the primary, with target_session_attrs=read-write."
            }
            Error::ReadOnly { .. } => {
                "Every verb writes or decides. Begin the transaction READ WRITE, and connect with target_session_attrs=read-write."
            }
            Error::TooManyWaiters(_) => {
                "Try again later. Give calls that wait a connection pool of their own, smaller than this, or raise the setting."
            }
            Error::LockTimeout => "lock_timeout is shorter than the requested wait. Raise it, or pass a shorter wait.",
            Error::OutOfTime => "Make the triggers of the table quicker, or raise volguard.rule_timeout.",
            Error::Postgres(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// The SQL function of an exported symbol: `volguard_acquire` is `volguard.acquire()`. What follows two underscores
/// tells functions of one name apart.
fn name(symbol: &str) -> String {
    let symbol = symbol.split("__").next().unwrap_or_default();
    format!("{}()", symbol.replacen('_', ".", 1))
}
