//! A request to the server, which stays the same when it is repeated.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::error::Error;
use crate::granted::WorkOutcome;
use crate::handle::Connection;
use crate::key::{Key, Name};
use crate::row::UpdatedRow;
use crate::sql::{self, Documents};

/// One request. It keeps its id when it is sent again.
pub(crate) struct Request {
    pub(crate) id: Uuid,
    pub(crate) what: What,
}

pub(crate) enum What {
    Locks(Vec<Key>),
    /// Its lock must not be released without a final state of the row.
    Work(Key, Documents),
}

/// What the server has granted: the tokens in the order of the keys, and the row of the work.
pub(crate) type Granted = (Vec<i64>, UpdatedRow);

/// What comes of a request.
pub(crate) type Answer<T = Granted> = Result<Result<T, Refused>, Error>;

/// Why nothing is held.
pub(crate) enum Refused {
    /// Not free in time.
    NotFree,
    /// Conditions of the work did not hold.
    Unmet(Vec<String>),
    /// The resource of the work has no row.
    NotFound,
}

impl Request {
    pub(crate) fn names(&self) -> Vec<Arc<Name>> {
        let keys = match &self.what {
            What::Locks(keys) => keys,
            What::Work(key, _) => std::slice::from_ref(key),
        };
        keys.iter().map(|key| Arc::clone(&key.name)).collect()
    }

    pub(super) fn verb(&self) -> &'static str {
        match &self.what {
            What::Work(..) => "start_work",
            What::Locks(keys) if keys.len() == 1 => "acquire",
            What::Locks(_) => "acquire_all",
        }
    }

    pub(super) async fn send(&self, connection: &Connection, service_id: i64, wait: Duration) -> Answer {
        let id = Some(self.id);
        let tokens = match &self.what {
            What::Work(key, documents) => {
                return Ok(match sql::start_work(connection, service_id, key, documents, wait, id).await? {
                    WorkOutcome::Started((token, row)) => Ok((vec![token], row)),
                    WorkOutcome::Unmet(names) => Err(Refused::Unmet(names)),
                    WorkOutcome::NotFound => Err(Refused::NotFound),
                    WorkOutcome::Locked => Err(Refused::NotFree),
                });
            }
            What::Locks(keys) => match &keys[..] {
                [key] => sql::acquire(connection, service_id, key, wait, id).await?.map(|token| vec![token]),
                keys => sql::acquire_all(connection, service_id, keys, wait, id).await?,
            },
        };
        Ok(tokens.map(|tokens| (tokens, UpdatedRow::NONE)).ok_or(Refused::NotFree))
    }
}
