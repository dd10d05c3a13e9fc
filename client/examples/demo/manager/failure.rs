//! Why an operation ends early.

use deadpool_postgres::PoolError;
use volguard::Error;

use crate::event::Door;
use crate::storage::StorageError;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The lock is lost, and somebody noticed before harm was done.
    #[error("stopped by {0}")]
    Stopped(Door),
    #[error("{0:#}")]
    Trouble(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Trouble(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::SessionLost(_) => Failure::Stopped(Door::Session),
            Error::ServiceFenced(_) | Error::LeaseExpired(_) => Failure::Stopped(Door::Acquire),
            Error::TokenNotHeld(_) => Failure::Stopped(Door::AssertHeld),
            other => Failure::Trouble(other.into()),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        match error {
            StorageError::Fenced { .. } => Failure::Stopped(Door::Storage),
            other => Failure::Trouble(other.into()),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Trouble(error.into())
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Failure {
        Failure::Trouble(error.into())
    }
}
