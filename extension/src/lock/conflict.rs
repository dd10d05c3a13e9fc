//! Why an attempt to acquire a lock got nothing.

use crate::pg::error::Error;
use crate::pg::spi::{Arg, Rows};
use crate::sabotage::{self, Guard};
use crate::store::{row_state, sql};
use crate::wait::{Deadline, queue};
use pgrx::pg_sys::ItemPointerData;
use std::time::Duration;

pub enum Refusal {
    /// This very request got the lock before; its reply was lost.
    HeldByRequest(i64),
    /// The row in the way.
    Held(Blocker),
    /// Nothing is in the way any more.
    Gone,
}

/// The row that has the key, or the work slot.
pub struct Blocker {
    pub token: i64,
    pub service_id: i64,
    pub dead: bool,
    /// Dead, and a cleanup would free this row: a plain lock, or work that a crash rule knows.
    pub cleanable: bool,
    /// Until its service's lease ends.
    pub lease_left: Duration,
    pub row: ItemPointerData,
}

impl Refusal {
    /// Looks, with the parameters of `WHY_REFUSED`. An error if it is the caller's own service that is in the way.
    pub fn find(service_id: i64, parameters: &[Arg]) -> Result<Self, Error> {
        sql::WHY_REFUSED.run(parameters, |rows| Self::read(service_id, rows))?
    }

    fn read(service_id: i64, rows: &Rows) -> Result<Self, Error> {
        let flag = |column| rows.get::<bool>(0, column).unwrap_or(false);
        let (fenced, expired, same_request) = (flag(0), flag(1), flag(3));
        if rows.len() == 0 || fenced {
            return Err(Error::ServiceFenced(service_id));
        }
        let token = rows.get::<i64>(0, 2);
        match token {
            Some(token) if same_request && !sabotage::removed(Guard::RequestId) => {
                Ok(Refusal::HeldByRequest(token))
            }
            _ if expired => Err(Error::LeaseExpired(service_id)),
            None => Ok(Refusal::Gone),
            Some(token) => Ok(Refusal::Held(Blocker::read(token, rows, 0))),
        }
    }
}

impl Blocker {
    /// Reads what the statements on refusals say, in the same columns, about the row in the way.
    pub fn read(token: i64, rows: &Rows, at: usize) -> Self {
        let flag = |column| rows.get::<bool>(at, column).unwrap_or(false);
        let dead = flag(6);
        let left = rows.get::<i64>(at, 7).unwrap_or(0).max(1);
        Blocker {
            token,
            service_id: rows.get(at, 5).unwrap_or(0),
            dead,
            cleanable: dead && flag(8),
            lease_left: Duration::from_millis(left.cast_unsigned()),
            row: rows.get(at, 4).expect("a row has a place"),
        }
    }

    /// Lets the head of its line wait until it may be gone: look again then.
    pub fn wait(&self, deadline: &Deadline) -> Result<(), Error> {
        match row_state::state(&self.row)? {
            row_state::State::Unchanged => {}
            row_state::State::Gone => return Ok(()),
            // Deleted before we were head, maybe, and then nobody will wake us.
            row_state::State::Changing(_) if sabotage::removed(Guard::WriterInProgress) => {}
            row_state::State::Changing(writer) => {
                queue::wait_for_transaction(writer, deadline)?;
                return Ok(());
            }
        }
        let mut sleep = deadline.sleep()?;
        if !self.dead {
            sleep = sleep.min(self.lease_left);
        }
        queue::sleep(sleep)
    }
}
