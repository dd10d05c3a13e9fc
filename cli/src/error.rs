//! What can go wrong, and the exit code of each.

use std::io;

/// Why the program did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The lock was not free in time.
    #[error("busy: {0}")]
    Busy(String),
    /// The lock could not be relied on until the command had ended.
    #[error("lost: {0}")]
    Lost(String),
    /// The database can't be reached, or can't serve just now.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The database, or the program, refuses.
    #[error("refused: {0}")]
    Refused(String),
    /// The arguments make no sense together.
    #[error("usage: {0}")]
    Usage(String),
    /// What another process of this program has said.
    #[error("{text}")]
    Told {
        /// The exit code.
        code: u8,
        /// The whole message.
        text: String,
    },
    /// The operating system refuses.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// The first of the codes that are this program's own: below and above are those of commands and shells.
const OWN: std::ops::RangeInclusive<u8> = 112..=117;

impl Failure {
    /// To map an error of the operating system.
    pub(crate) fn system<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failure {
        |source| Failure::System { what: what.into(), source: source.into() }
    }

    /// The exit code, as docs/command-line.md lists it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Busy(_) => 112,
            Failure::Lost(_) => 113,
            Failure::Unreachable(_) => 114,
            Failure::Refused(_) => 115,
            Failure::Usage(_) => 116,
            Failure::System { .. } => 117,
            Failure::Told { code, .. } => *code,
        }
    }

    /// Whether a command that ends with this code could be taken for a failure of this program.
    pub(crate) fn is_own(code: u8) -> bool {
        OWN.contains(&code)
    }
}

/// What to do about an error for which the server has no advice.
fn advice(error: &volguard::Error) -> &'static str {
    let has_hint = error.database_error().is_some_and(|report| report.hint().is_some());
    let is_denied = error.sqlstate().is_some_and(|state| state.code() == "42501");
    // Not of a connection, which the database itself denies.
    match matches!(error, volguard::Error::Database(_)) && is_denied && !has_hint {
        true => "; rights come from grant_usage, grant_monitoring or grant_operator of the schema volguard",
        false => "",
    }
}

impl From<volguard::Error> for Failure {
    fn from(error: volguard::Error) -> Failure {
        use volguard::{Error, Loss};
        let ran_out = matches!(error, Error::SessionLost(Loss::LeaseRanOut));
        match error {
            Error::Configuration(problem) if problem.contains("Builder::tls") => Failure::Usage(
                "`sslmode` requires TLS, which this program was built without (--features tls)".to_owned(),
            ),
            Error::Configuration(problem) => Failure::Usage(problem),
            _ if error.is_retryable() || ran_out => Failure::Unreachable(error.to_string()),
            _ => Failure::Refused(format!("{error}{}", advice(&error))),
        }
    }
}

impl From<volguard::tokio_postgres::Error> for Failure {
    fn from(error: volguard::tokio_postgres::Error) -> Failure {
        volguard::Error::from(error).into()
    }
}
