//! The turn of a call under a request id. Calls under one id come one after the other: only when the transaction of the
//! one before has ended is it known what it got, and the next one gets the same.

use super::client::{self, ConnectionCheck};
use super::tag::{Mode, Tag, TagKind};
use crate::pg::error::Error;
use pgrx::datum::Uuid;

/// While it lives, and then until the transaction ends, no other call has its turn under the same id.
pub struct RequestTurn(Tag);

impl RequestTurn {
    /// Of the calls of a service. In the order of locks this one comes first, before the service lock.
    pub fn of_service(service_id: i64, id: Uuid) -> Result<Self, Error> {
        Self::begin(TagKind::ServiceRequest, &service_id.to_string(), id)
    }

    /// Of the submissions of a role.
    pub fn of_role(role: &str, id: Uuid) -> Result<Self, Error> {
        Self::begin(TagKind::SubmitRequest, role, id)
    }

    /// Waits for a call with this id whose transaction has not ended.
    fn begin(kind: TagKind, caller: &str, id: Uuid) -> Result<Self, Error> {
        let lock = Tag::of_names(kind, &[caller, &id.to_string()]);
        if !lock.try_lock(Mode::Exclusive)? {
            let checking = ConnectionCheck::begin()?;
            lock.lock(Mode::Exclusive)?;
            drop(checking);
            client::check()?;
        }
        Ok(RequestTurn(lock))
    }

    /// Lets the next call go on before the transaction ends. Only if this one has changed nothing.
    pub fn end(self) {
        self.0.unlock(Mode::Exclusive);
    }
}
