//! The error type of the crate. Errors of the server are sorted by SQLSTATE.

use crate::loss::Loss;
use std::error::Error as StdError;
use std::io;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What can fail between the caller and the database. The variants that come from the server keep the
/// [`tokio_postgres::Error`] as their [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings of the handle can't be used.
    #[error("unusable configuration: {0}")]
    Configuration(String),
    /// No server of the configuration could be connected to. Nothing was sent.
    #[error("can't connect to {host}: {}", cause(&**.source))]
    Connect {
        /// The host that was tried last, with its port.
        host: String,
        /// A [`tokio_postgres::Error`], or an [`std::io::Error`] if there was no answer in time.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No connection of the pool became free within the time limit. Nothing was sent.
    #[error("no connection of the pool became free in time")]
    PoolExhausted,
    /// The database refused the statement, or the connection broke while it ran.
    #[error("{}", cause(.0))]
    Database(#[source] tokio_postgres::Error),
    /// The database did not answer within the time limit. The statement was cancelled; whether it ran is unknown.
    #[error("the database did not answer in time")]
    NoReply,
    /// The server has fenced this service, or does not know it (`VG001`). Register again.
    #[error("{}", cause(.0))]
    ServiceFenced(#[source] tokio_postgres::Error),
    /// The token is not held (`VG002`): it was released, an administrator took the lock, or its service was fenced.
    #[error("{}", cause(.0))]
    TokenNotHeld(#[source] tokio_postgres::Error),
    /// The server can't read a document of conditions, changes or locks (`VG003`).
    #[error("{}", cause(.0))]
    MalformedDocument(#[source] tokio_postgres::Error),
    /// The lease has expired on the server, but the service is not fenced: a heartbeat may still revive it (`VG004`).
    #[error("{}", cause(.0))]
    LeaseExpired(#[source] tokio_postgres::Error),
    /// A condition or value can't be put into a document: nothing was sent.
    #[error("`{column}` {problem}")]
    InvalidDocument {
        /// The column that the condition or value is for, or the argument, such as `filter` or `details`.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// This session, or this lock, is lost: its own clock says so, or the server has said so before. Nothing was sent.
    /// Stop the work that its locks protect, and register again.
    #[error("the session is lost: {0}")]
    SessionLost(#[from] Loss),
    /// Another live process has registered under the same name since the session of this one was lost. Registering
    /// again would fence that process: give one of the two another host or binary name, or end one.
    #[error("another live process has registered under this name: service {service_id}")]
    Superseded {
        /// The service of that process.
        service_id: i64,
    },
    /// The database has no extension `volguard`. Run `CREATE EXTENSION volguard` in it.
    #[error("the database has no extension `volguard` (run CREATE EXTENSION volguard)")]
    ExtensionMissing,
    /// The extension has a version that this crate is not made for. Run `ALTER EXTENSION volguard UPDATE`, or use the
    /// crate of that version.
    #[error("the database has version {installed} of the extension; this crate is for {}", env!("CARGO_PKG_VERSION"))]
    ExtensionVersion {
        /// The version of the extension.
        installed: String,
    },
    /// A row does not fit the type that it is read into.
    #[error("the row does not fit the type asked for: {0}")]
    Deserialize(#[from] serde_json::Error),
}

impl Error {
    /// The SQLSTATE, if the error comes from the server.
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.database_error().map(DbError::code)
    }

    /// The server's full report: message, detail, hint and so on.
    pub fn database_error(&self) -> Option<&DbError> {
        self.source()?.downcast_ref::<tokio_postgres::Error>()?.as_db_error()
    }

    /// Whether the same call may succeed a little later: after a broken connection, a serialization failure or a
    /// deadlock, without a free connection in the pool, from a server that starts or stops, or with a lease that a
    /// heartbeat may still save. Not for a wrong password, a host that `pg_hba.conf` refuses or a missing database.
    /// It does not mean that repeating is *safe*: a conditional update, for one, may have been applied.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::NoReply | Error::PoolExhausted | Error::LeaseExpired(_) => true,
            Error::Database(e) => e.code().map_or_else(|| outcome_unknown(e), is_passing),
            Error::Connect { source, .. } => {
                // Closed: in the middle of the login.
                let closed = || source.downcast_ref().is_some_and(tokio_postgres::Error::is_closed);
                self.sqlstate().map_or_else(|| has_io_error(&**source) || closed(), is_passing)
            }
            _ => false,
        }
    }

    /// Whether a statement that failed with this error may have committed, or may still run.
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
            Some("VG001") => Error::ServiceFenced(error),
            Some("VG002") => Error::TokenNotHeld(error),
            Some("VG003") => Error::MalformedDocument(error),
            Some("VG004") => Error::LeaseExpired(error),
            _ => Error::Database(error),
        }
    }
}

/// Whether the connection is gone, or the answer says that the outcome is unknown.
fn outcome_unknown(error: &tokio_postgres::Error) -> bool {
    let Some(db) = error.as_db_error() else { return error.is_closed() || has_io_error(error) };
    let ends_the_session = matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    ends_the_session || db.code().code() == "40003" || db.code().code().starts_with("08")
}

fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn has_io_error(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(<dyn StdError>::is::<io::Error>)
}

/// By the code alone: the server reports a wrong password as FATAL, as it does its own shutdown.
fn is_passing(state: &SqlState) -> bool {
    let code = state.code();
    matches!(code, "40001" | "40003" | "40P01" | "55P03" | "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "25006")
        || ["08", "53"].iter().any(|class| code.starts_with(class))
}

/// The server's message, SQLSTATE and hint, which a [`tokio_postgres::Error`] alone does not display; for others, the
/// error with its causes.
fn cause(error: &(dyn StdError + 'static)) -> String {
    let Some(db) = error.downcast_ref().and_then(tokio_postgres::Error::as_db_error) else {
        let mut texts: Vec<String> = chain(error).map(ToString::to_string).collect();
        texts.dedup();
        return texts.join(": ");
    };
    let hint = match db.code().code() {
        "26000" => Some("a pooler hands out connections per transaction: use StatementMode::Unnamed"),
        _ => db.hint(),
    };
    format!("{} ({}{})", db.message(), db.code().code(), hint.map_or(String::new(), |hint| format!("; {hint}")))
}
