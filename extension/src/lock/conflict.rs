//! What is in the way of the locks that a call requests.

use super::request::{Request, Wanted};
use crate::cleanup::ask::Asked;
use crate::cleanup::on_the_way::Obstacle;
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
use pgrx::pg_sys::{self, ItemPointerData, Oid};
use std::rc::Rc;
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
    /// `None`: work that waits for a service. It lasts until one takes it, and ends it.
    pub service_id: Option<i64>,
    pub dead: bool,
    /// The holder is fenced, and not only late.
    fenced: bool,
    /// Of work: the type of its resource.
    work_of: Option<Rc<str>>,
    /// The holder is dead, and this call may free the row: it is a plain lock, or work for which there is a crash rule
    /// that was not tried in vain lately. A rule takes time, so a call with a wait of zero leaves work alone.
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
        let own_service = request.service_id.map(|id| Ok::<_, Error>((id, tables.liveness(id)?))).transpose()?;
        if let Some((service_id, Liveness::Fenced)) = own_service {
            return Err(Error::ServiceFenced(service_id));
        }
        let mut own = Vec::new();
        let mut others = Vec::new();
        for (at, lock) in request.locks.iter().enumerate() {
            match tables.occupant(&lock.key, lock.working)? {
                None => {}
                Some(row) if is_of_request(&row, request) => own.push((at, row.token)),
                Some(row) => others.push(Blocker::new(tables, lock, &row, &request.deadline)?),
            }
        }
        if own.len() == request.locks.len() {
            let tokens = own.into_iter().map(|(_, token)| token);
            return Ok(Conflict::HeldByRequest(tokens.collect()));
        }
        if let Some((service_id, Liveness::Expired | Liveness::Broken)) = own_service {
            return Err(Error::LeaseExpired(service_id));
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
    fn new(tables: &Tables, lock: &Wanted, row: &Occupant, deadline: &Deadline) -> Result<Self, Error> {
        let liveness = row.service_id.map(|id| tables.liveness(id)).transpose()?;
        let (dead, lease_left) = match liveness {
            None => (false, Duration::MAX),
            Some(Liveness::Alive(left)) => (false, left),
            // No cleanup frees what it has: wait for its holder.
            Some(Liveness::Broken) => (false, Duration::MAX),
            Some(Liveness::Expired | Liveness::Fenced) => (true, Duration::ZERO),
        };
        // SAFETY: reads the clock.
        let is_due = || row.retry_at.is_none_or(|at| at <= unsafe { pg_sys::GetCurrentTimestamp() });
        let cleanable = dead
            && match &row.status {
                None => true,
                Some(status) => deadline.may_wait() && is_due() && tracked::has_rule(lock.key.resource_type, status)?,
            };
        let slot = match row.has_key {
            true => None,
            false => lock.work_queue(),
        };
        Ok(Blocker {
            token: row.token,
            service_id: row.service_id,
            dead,
            fenced: liveness == Some(Liveness::Fenced),
            work_of: row.status.as_ref().map(|_| lock.key.resource_type.into()),
            cleanable,
            lease_left,
            tid: row.tid,
            file: tables.workers_file,
            queue: slot.unwrap_or_else(|| lock.queue()),
        })
    }

    /// As a cleanup on the way sees a plain lock; `None` if no service has it.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let Blocker { token, service_id, fenced: is_fenced, .. } = *self;
        Some(Obstacle { token, service_id: service_id?, is_fenced })
    }

    /// As a repair sees work; `None` for a plain lock.
    pub fn work(&self) -> Option<Asked> {
        let resource_type = self.work_of.clone()?;
        Some(Asked { token: self.token, resource_type })
    }

    /// Whether another transaction is removing or changing the row. A cleanup would write before it finds out.
    pub fn is_changing(&self) -> Result<bool, Error> {
        let state = lookup_locks::given_back(|| row_state::of(&self.tid, self.file))?;
        Ok(matches!(state, RowState::Changing(_)))
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
