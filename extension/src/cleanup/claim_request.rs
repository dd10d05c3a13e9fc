//! The request id of a claim: a call that repeats it gets what the first call got.

use super::pool::{ClaimedRow, claimed_row};
use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::wait::client::{self, ConnectionCheck};
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::datum::Uuid;

/// A claim under a request id. While it lives, no other call claims under the same one.
pub struct ClaimRequest {
    service_id: i64,
    id: Uuid,
    lock: Tag,
}

impl ClaimRequest {
    /// Waits for a call with this request id whose transaction has not ended: only then is it known what it got. In
    /// the order of locks this one comes first, before the service lock.
    pub fn begin(service_id: i64, id: Uuid) -> Result<Self, Error> {
        let lock = Tag::of_names(TagKind::ClaimRequest, &[&service_id.to_string(), &id.to_string()]);
        if !lock.try_lock(Mode::Exclusive)? {
            let checking = ConnectionCheck::begin()?;
            lock.lock(Mode::Exclusive)?;
            drop(checking);
            client::check()?;
        }
        Ok(ClaimRequest { service_id, id, lock })
    }

    /// What an earlier call has claimed and the service still holds. Only under the service lock.
    pub fn held(&self) -> Result<Vec<ClaimedRow>, Error> {
        if sabotage::removed(Guard::RequestId) {
            return Ok(Vec::new());
        }
        let parameters = [arg(self.service_id), arg(self.id)];
        sql::CLAIMED_BY_REQUEST.run(&parameters, |rows| rows.each(|row| claimed_row(rows, row)))
    }

    /// Lets the next call go on before the transaction ends. Only if this one has claimed nothing.
    pub fn end(self) {
        self.lock.unlock(Mode::Exclusive);
    }
}
