//! What can go wrong between a test and its server.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private server, a pooler or one of their commands failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program could not be started at all.
    #[error("cannot run {program}: {source}; `make setup` installs what is missing")]
    Spawn {
        /// The program's name or path.
        program: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A program ran and reported a failure.
    #[error("{program} failed ({status}):\n{stderr}")]
    Failed {
        /// The program's name or path.
        program: String,
        /// Its exit status, in words.
        status: String,
        /// Its output on stderr.
        stderr: String,
    },
    /// A file or directory of a private server could not be made or read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A server or pooler did not do what it was asked for.
    #[error("the private {name} did not {verb}; the end of {}:\n{tail}", .log.display())]
    Server {
        /// `postgres` or `pgbouncer`.
        name: &'static str,
        /// The step that failed.
        verb: String,
        /// Its log file, which is kept.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// Neither the target directory nor the temporary one can hold a server.
    #[error(
        "no place for a private server: {} must be writable for user {user}, and short enough for a socket path",
        .tried.display()
    )]
    NoPlace {
        /// The last directory tried.
        tried: PathBuf,
        /// The operating system user who runs the server.
        user: String,
    },
    /// The library that shows another time to a process is missing.
    #[error("libfaketime is not installed: make setup")]
    NoFakeTime,
    /// Every port that was tried is taken.
    #[error("no free TCP port on 127.0.0.1 between 20000 and 29999")]
    NoPort,
    /// A database URL that can't be used.
    #[error("DATABASE_URL: {0}")]
    Url(String),
    /// The user's server lacks the extension.
    #[error(
        "the server of DATABASE_URL does not offer the extension volguard; `make install` puts it into the server of $PG_CONFIG on this machine"
    )]
    NotInstalled,
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
