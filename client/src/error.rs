//! The error type of the crate. Errors of the server are sorted by SQLSTATE.

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::session::Loss;

/// What can fail between the caller and the database.
///
/// Every variant that comes from the server keeps the [`tokio_postgres::Error`] as its
/// [`source`](std::error::Error::source); [`sqlstate`](Error::sqlstate) reads the code from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection string or the settings of the pool can't be used.
    #[error("unusable configuration: {0}")]
    Configuration(String),

    /// The pool gave no connection. Nothing was sent.
    #[error("no connection to the database: {0}")]
    Pool(#[source] PoolError),

    /// The database refused the statement, or the connection broke while it ran.
    #[error("{}", describe(.0))]
    Database(#[source] tokio_postgres::Error),

    /// The database did not answer within the time limit of the statement. Whether the statement ran is unknown.
    #[error("the database did not answer in time")]
    NoReply,

    /// The server has fenced this service, or does not know it (`VG001`). Register again.
    #[error("{}", describe(.0))]
    ServiceFenced(#[source] tokio_postgres::Error),

    /// The token is not held: it was released, an administrator took the lock away, or its service was fenced
    /// (`VG002`).
    #[error("{}", describe(.0))]
    TokenNotHeld(#[source] tokio_postgres::Error),

    /// The server can't read a condition or value document (`VG003`).
    #[error("{}", describe(.0))]
    MalformedDocument(#[source] tokio_postgres::Error),

    /// A condition or value can't be put into a document: nothing was sent.
    #[error("`{column}` {problem}")]
    InvalidDocument {
        /// The column that the condition or value is for, or `expected` (a whole row), `filter`, `filter_sql`.
        column: String,
        /// What is wrong with it.
        problem: String,
    },

    /// This session is lost: its own clock says so, or the server has said so before. Nothing was sent. Stop the work
    /// that its locks protect, and register again.
    #[error("the session is lost: {0}")]
    SessionLost(Loss),

    /// Another live process has registered under the same name since the session of this one was lost. Registering
    /// again would fence that process: give one of the two another host or binary name, or end one.
    #[error("another live process has registered under this name: service {service_id}")]
    Superseded {
        /// The service of that process.
        service_id: i64,
    },

    /// The lease has expired on the server, but the service is not fenced: a heartbeat may still revive it (`VG004`).
    #[error("{}", describe(.0))]
    LeaseExpired(#[source] tokio_postgres::Error),

    /// The database has no extension `volguard`. Run `CREATE EXTENSION volguard` in it.
    #[error("the database has no extension `volguard` (run CREATE EXTENSION volguard)")]
    ExtensionMissing,

    /// A row does not fit the type that it is read into.
    #[error("the row does not fit the type asked for: {0}")]
    Deserialize(#[from] serde_json::Error),
}

/// `VG001`: the service is fenced or unknown.
pub(crate) const SERVICE_FENCED: &str = "VG001";
/// `VG002`: the token is not held.
pub(crate) const TOKEN_NOT_HELD: &str = "VG002";
/// `VG003`: a document is malformed.
pub(crate) const MALFORMED_DOCUMENT: &str = "VG003";
/// `VG004`: the lease of the service has expired; a heartbeat may still revive it.
pub(crate) const LEASE_EXPIRED: &str = "VG004";

impl Error {
    /// The SQLSTATE, if the error comes from the server.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.database_error().map(DbError::code)
    }

    /// The server's full report: message, detail, hint and so on.
    pub fn database_error(&self) -> Option<&DbError> {
        match self {
            Error::Database(e)
            | Error::ServiceFenced(e)
            | Error::TokenNotHeld(e)
            | Error::MalformedDocument(e)
            | Error::LeaseExpired(e)
            | Error::Pool(PoolError::Backend(e)) => e.as_db_error(),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later.
    ///
    /// True for broken connections, an exhausted pool, serialization failures, deadlocks, a server that is starting or
    /// stopping, and a lease that a heartbeat may still save. It does not mean that repeating is *safe*. Repeating
    /// `acquire` with the same request id, `release` and `cleanup` is safe. A conditional update whose connection broke
    /// may have been applied: read the row before repeating it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Pool(PoolError::Timeout(_)) | Error::NoReply | Error::LeaseExpired(_) => true,
            Error::Pool(PoolError::Backend(e)) | Error::Database(e) => is_passing(e),
            _ => false,
        }
    }

    /// Whether a statement that failed with this error may have committed.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Error::NoReply => true,
            Error::Database(error) => outcome_unknown(error),
            _ => false,
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match error.code().map(SqlState::code) {
            Some(SERVICE_FENCED) => Error::ServiceFenced(error),
            Some(TOKEN_NOT_HELD) => Error::TokenNotHeld(error),
            Some(LEASE_EXPIRED) => Error::LeaseExpired(error),
            Some(MALFORMED_DOCUMENT) => Error::MalformedDocument(error),
            _ => Error::Database(error),
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Error {
        Error::Pool(error)
    }
}

/// Whether the statement may have committed although it failed here: the connection is gone, or the answer says that
/// the outcome is unknown.
pub(crate) fn outcome_unknown(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(db) => {
            matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
                || matches!(db.code().code(), "08007" | "40003")
                || db.code().code().starts_with("08")
        }
        None => error.is_closed() || caused_by_io(error),
    }
}

fn caused_by_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>()).is_some()
}

fn is_passing(error: &tokio_postgres::Error) -> bool {
    if outcome_unknown(error) {
        return true;
    }
    error.code().is_some_and(|state| {
        let code = state.code();
        matches!(code, "40001" | "40P01" | "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "25006")
            || code.starts_with("53")
    })
}

/// The server's message, SQLSTATE and hint; a [`tokio_postgres::Error`] alone displays as "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => match db.hint() {
            Some(hint) => format!("{} ({}; {hint})", db.message(), db.code().code()),
            None => format!("{} ({})", db.message(), db.code().code()),
        },
        None => error.to_string(),
    }
}
