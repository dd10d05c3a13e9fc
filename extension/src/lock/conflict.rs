//! What is in the way of the locks that a call requests.

use super::request::{Request, Wanted};
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::scratch::scratch;
use crate::sabotage::{self, Guard};
use crate::store::liveness::Liveness;
use crate::store::lookup::Occupant;
use crate::store::row_state::{self, RowState};
use crate::store::tables::Tables;
use crate::store::tracked;
use crate::wait::{Deadline, WaitQueue, queue};
use pgrx::datum::Uuid;
use pgrx::pg_sys::{ItemPointerData, Oid};
use std::time::Duration;

pub enum Conflict {
    /// Nothing is in the way.
    None,
    /// These rows are in the way, in the order of the locks.
    Rows(Vec<Blocker>),
    /// An earlier call with this request id got all the locks, and its reply was lost. Their tokens.
    HeldByRequest(Vec<i64>),
}

/// A row in the way, and the queue in which to wait for it.
pub struct Blocker {
    pub token: i64,
    pub service_id: i64,
    pub dead: bool,
    /// The holder is dead, and a cleanup frees the row: it is a plain lock, or work for which there is a crash rule.
    pub cleanable: bool,
    /// The time until the lease of its service ends.
    lease_left: Duration,
    tid: ItemPointerData,
    /// That of the table when the row was found: the place is one in it.
    file: Oid,
    pub queue: WaitQueue,
}

impl Conflict {
    /// Looks up every lock. An error if the caller's own service is not alive, or if the request id was used for other
    /// locks. No lock on a table is left, since the call may go to sleep next.
    pub fn find(request: &Request) -> Result<Self, Error> {
        lookup_locks::given_back(|| Self::find_in(&Tables::open()?, request))
    }

    /// As [`Conflict::find`], in tables that are open.
    pub fn find_in(tables: &Tables, request: &Request) -> Result<Self, Error> {
        // A call that waits for long does many lookups.
        scratch(|| Self::look(tables, request))
    }

    fn look(tables: &Tables, request: &Request) -> Result<Self, Error> {
        let own_service = tables.liveness(request.service_id)?;
        if own_service == Liveness::Fenced {
            return Err(Error::ServiceFenced(request.service_id));
        }
        let mut own = Vec::new();
        let mut others = Vec::new();
        for (at, lock) in request.locks.iter().enumerate() {
            match tables.occupant(&lock.key, lock.working)? {
                None => {}
                Some(row) if is_of_request(&row, request) => own.push((at, row.token)),
                Some(row) => others.push(Blocker::new(tables, lock, &row)?),
            }
        }
        if own.len() == request.locks.len() {
            let tokens = own.into_iter().map(|(_, token)| token);
            return Ok(Conflict::HeldByRequest(tokens.collect()));
        }
        if own_service == Liveness::Expired {
            return Err(Error::LeaseExpired(request.service_id));
        }
        if let Some((at, _)) = own.first() {
            return Err(used_before(*at));
        }
        Ok(match others.is_empty() {
            true => Conflict::None,
            false => Conflict::Rows(others),
        })
    }
}

fn is_of_request(row: &Occupant, request: &Request) -> bool {
    let same_id = |id: Uuid| Some(id) == row.request_id;
    row.has_key
        && row.service_id == request.service_id
        && request.request_id.is_some_and(same_id)
        && !sabotage::removed(Guard::RequestId)
}

/// The request holds a part of the locks: it can neither take the rest nor say that it got nothing.
fn used_before(at: usize) -> Error {
    Error::invalid(
        "request_id",
        format!("has got locks[{at}] before, but not all of these locks"),
        "A request id belongs to one list of locks. Release what it got, then pass a new one.",
    )
}

impl Blocker {
    fn new(tables: &Tables, lock: &Wanted, row: &Occupant) -> Result<Self, Error> {
        let (dead, lease_left) = match tables.liveness(row.service_id)? {
            Liveness::Alive(left) => (false, left),
            Liveness::Expired | Liveness::Fenced => (true, Duration::ZERO),
        };
        let cleanable = dead
            && match &row.status {
                None => true,
                Some(status) => tracked::has_rule(lock.key.resource_type, status)?,
            };
        let slot = match row.has_key {
            true => None,
            false => lock.work_queue(),
        };
        Ok(Blocker {
            token: row.token,
            service_id: row.service_id,
            dead,
            cleanable,
            lease_left,
            tid: row.tid,
            file: tables.workers_file,
            queue: slot.unwrap_or_else(|| lock.queue()),
        })
    }

    /// Waits, as head of the queue, until the row may be gone. A lookup must follow.
    pub fn wait(&self, deadline: &Deadline) -> Result<(), Error> {
        match lookup_locks::given_back(|| row_state::of(&self.tid, self.file))? {
            RowState::Unchanged => {}
            RowState::Gone => return Ok(()),
            // The delete may have come before this call became head, and then no wake-up comes.
            RowState::Changing(_) if sabotage::removed(Guard::WriterInProgress) => {}
            RowState::Changing(writer) => {
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
