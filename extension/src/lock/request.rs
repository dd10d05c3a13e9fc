//! What one call requests: locks, all of them or none.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::spi::{Arg, arg, transaction_snapshot_only};
use crate::store::key::Key;
use crate::store::spelling::{self, Inserted};
use crate::store::tables::Tables;
use crate::store::token;
use crate::store::write::{self, NewRow, Submitted};
use crate::wait::{Deadline, WaitQueue};
use pgrx::datum::{Interval, Uuid};
use pgrx::pg_sys::{self, Oid};
use std::time::Duration;

pub struct Request<'a> {
    /// `None` if no service takes it: submitted work waits for one.
    pub service_id: Option<i64>,
    pub cluster: &'a str,
    pub locks: Vec<Wanted<'a>>,
    pub request_id: Option<Uuid>,
    pub deadline: Deadline,
    pub submitted: Option<&'a Submitted<'a>>,
}

/// One lock of a request.
pub struct Wanted<'a> {
    pub key: Key<'a>,
    /// It gets a status, and with it the work slot of its resource.
    pub working: bool,
    /// The table that its type is tracked in, if it is work.
    pub tracked_in: Option<Oid>,
    pub status: Arg,
    pub details: Arg,
}

impl Request<'_> {
    /// Inserts the rows, and returns their tokens. Only as head of all queues, when no row is in the way. `status` is
    /// given for one lock whose status was not known before.
    pub fn insert(&self, tables: &Tables, status: Option<Arg>) -> Result<Vec<i64>, Error> {
        let (cluster, request_id) = (arg(self.cluster), self.request_id.and_then(arg));
        // SAFETY: reads the clock.
        let acquired_at = unsafe { pg_sys::GetCurrentTimestamp() };
        let insert = |lock: &Wanted| {
            let token = token::draw(tables)?;
            write::insert(
                tables,
                &NewRow {
                    key: &lock.key,
                    token,
                    service_id: self.service_id,
                    cluster,
                    status: status.unwrap_or(lock.status),
                    request_id,
                    details: lock.details,
                    acquired_at,
                    submitted: self.submitted,
                },
            )?;
            Ok(token)
        };
        let tokens = self.locks.iter().map(insert).collect::<Result<_, Error>>()?;
        spelling::check_inserted(self.locks.iter().map(|Wanted { key, working, tracked_in, .. }| {
            let work_on = working.then_some(*tracked_in);
            Inserted { key, work_on }
        }))?;
        Ok(tokens)
    }
}

impl Wanted<'_> {
    pub fn queue(&self) -> WaitQueue {
        let key = &self.key;
        WaitQueue::of_key(key.resource_type, key.resource_id, key.lock_name)
    }

    pub fn work_queue(&self) -> Option<WaitQueue> {
        let queue = || WaitQueue::of_work(self.key.resource_type, self.key.resource_id);
        self.working.then(queue)
    }
}

/// The end of the wait. An error if the transaction's isolation level doesn't allow a wait.
pub fn deadline(verb: &str, wait: Option<Interval>) -> Result<Deadline, Error> {
    deadline_of(verb, argument::wait(wait)?)
}

/// The same for a wait that was read.
pub fn deadline_of(verb: &str, wait: Duration) -> Result<Deadline, Error> {
    let deadline = Deadline::after(wait);
    if deadline.may_wait() && transaction_snapshot_only() {
        return Err(Error::Unsupported {
            what: format!("{verb} can wait only under READ COMMITTED"),
            hint: "Use wait => '0', or a transaction at READ COMMITTED.",
        });
    }
    Ok(deadline)
}
