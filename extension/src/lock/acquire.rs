//! Taking a lock: a conditional insert, by the head of the key's line.

use super::conflict::{Blocker, Refusal};
use crate::cleanup::on_the_way::{self, Clearing};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::settings;
use crate::pg::spi::{Arg, arg, transaction_snapshot_only};
use crate::sabotage::{self, Guard};
use crate::service::guard::ServiceLock;
use crate::service::identity;
use crate::store::liveness::Liveness;
use crate::store::lookup::Obstacle;
use crate::store::tables::Tables;
use crate::store::{sql, token, write};
use crate::wait::{Deadline, WaitQueue, client, queue};
use pgrx::datum::{AnyElement, Interval, Uuid};
use pgrx::{pg_extern, pg_sys};

/// The unique index that no two rows with one token get past.
const TOKEN_KEY: &str = "workers_token_key";

/// What one call asks for.
pub struct Request<'a> {
    service_id: i64,
    /// cluster, type, id, lock name
    names: [&'a str; 4],
    /// It needs the resource's work slot, too.
    working: bool,
    request_id: Option<Uuid>,
    details: Arg,
    /// The lines to head, the key's first.
    lines: Vec<WaitQueue>,
    deadline: Deadline,
}

/// What the caller says when the key is free, before the row is inserted.
pub enum Ready {
    /// Insert it, with this status.
    Take(Arg),
    /// Don't: it has no use for the key.
    Decline,
    /// Something else that it needs is taken: let others go first, and try again.
    GiveWay,
}

/// What came of one attempt.
enum Tried {
    Inserted(i64),
    InTheWay(Obstacle),
    /// The gate stayed closed, or the service isn't alive.
    Unclear,
    /// The caller was not ready.
    Ended(Got),
}

/// What came of a call.
pub enum Got {
    Inserted(i64),
    HeldByRequest(i64),
    NotFree,
    Declined,
    GaveWay,
}

impl<'a> Request<'a> {
    pub fn new(
        service_id: i64,
        names: [&'a str; 4],
        working: bool,
        request_id: Option<Uuid>,
        deadline: Deadline,
    ) -> Self {
        let [cluster, resource_type, resource_id, lock_name] = names;
        let key = WaitQueue::of_key(cluster, resource_type, resource_id, lock_name);
        let work = working.then(|| WaitQueue::of_work(cluster, resource_type, resource_id));
        Request {
            service_id,
            names,
            working,
            request_id,
            details: None,
            lines: std::iter::once(key).chain(work).collect(),
            deadline,
        }
    }

    /// Takes the key once it is free and `ready` says so, which is asked inside the gate and as head of the lines.
    pub fn acquire(&self, mut ready: impl FnMut() -> Result<Ready, Error>) -> Result<Got, Error> {
        loop {
            match self.acquire_in_line(&mut ready)? {
                // Whoever queued behind us has the lines now.
                Got::GaveWay if !self.deadline.left().is_zero() => client::look()?,
                got => return Ok(got),
            }
        }
    }

    fn acquire_in_line(
        &self,
        ready: &mut impl FnMut() -> Result<Ready, Error>,
    ) -> Result<Got, Error> {
        for (headed, line) in self.lines.iter().enumerate() {
            if line.try_head()? {
                continue;
            }
            // The lock may be ours since an earlier try, with others already in line behind it; and a fenced service
            // is told so even if it doesn't want to wait.
            if (self.request_id.is_some() || !self.deadline.may_wait())
                && let Refusal::HeldByRequest(token) = self.look()?
            {
                self.leave(headed);
                return Ok(Got::HeldByRequest(token));
            }
            if !line.become_head(&self.deadline)? {
                self.leave(headed);
                return Ok(Got::NotFree);
            }
        }
        let got = self.insert_as_head(ready)?;
        // The insert isn't committed yet: the lines stay ours until it is.
        if !matches!(got, Got::Inserted(_)) {
            self.leave(self.lines.len());
        }
        Ok(got)
    }

    /// Leaves the lines it heads, so that a long transaction doesn't block others with a refusal.
    fn leave(&self, headed: usize) {
        for line in &self.lines[..headed] {
            line.leave();
        }
    }

    fn insert_as_head(
        &self,
        ready: &mut impl FnMut() -> Result<Ready, Error>,
    ) -> Result<Got, Error> {
        // The row whose cleanup was tried in vain: trying again would only fail, and write, again.
        let mut hopeless = None;
        loop {
            queue::before_look()?;
            let refusal = match self.insert(ready)? {
                Tried::Inserted(token) => {
                    token::make_durable();
                    return Ok(Got::Inserted(token));
                }
                Tried::Ended(got) => return Ok(got),
                Tried::InTheWay(row) => self.judge(&row)?,
                Tried::Unclear => self.why_refused()?,
            };
            let blocker = match refusal {
                Refusal::HeldByRequest(token) => return Ok(Got::HeldByRequest(token)),
                Refusal::Held(blocker) => blocker,
                // It went between the two looks, or the gate was busy: look again, if there is time to.
                Refusal::Gone if self.deadline.may_wait() && !self.deadline.left().is_zero() => {
                    continue;
                }
                Refusal::Gone => return Ok(Got::NotFree),
            };
            if blocker.cleanable && settings::auto_cleanup() && hopeless != Some(blocker.token) {
                match self.clean_up(&blocker)? {
                    Clearing::Cleared => continue,
                    Clearing::InVain => hopeless = Some(blocker.token),
                    Clearing::Busy => {}
                }
            }
            if self.deadline.left().is_zero() {
                return Ok(Got::NotFree);
            }
            blocker.wait(&self.deadline)?;
        }
    }

    /// One attempt, under the caller's own gate. It looks first, which never waits: an insert would, for somebody who is
    /// deleting the row.
    fn insert(&self, ready: &mut impl FnMut() -> Result<Ready, Error>) -> Result<Tried, Error> {
        let guard = ServiceLock::of(self.service_id);
        if !guard.lock_shared_within(&self.deadline)? {
            return Ok(Tried::Unclear);
        }
        let tables = Tables::open()?;
        let tried = match tables.service(self.service_id)? {
            Liveness::Alive(_) => match tables.in_the_way(self.names, self.working)? {
                None => match ready()? {
                    Ready::Take(status) => {
                        return Ok(Tried::Inserted(self.write(&tables, status)?));
                    }
                    Ready::Decline => Tried::Ended(Got::Declined),
                    Ready::GiveWay => Tried::Ended(Got::GaveWay),
                },
                Some(row) => Tried::InTheWay(row),
            },
            Liveness::Expired | Liveness::Fenced => Tried::Unclear,
        };
        guard.unlock_shared();
        Ok(tried)
    }

    fn write(&self, tables: &Tables, status: Arg) -> Result<i64, Error> {
        let token = token::draw(tables)?;
        let [cluster, resource_type, resource_id, lock_name] = self.names.map(arg);
        // SAFETY: reads the clock.
        let now = arg(unsafe { pg_sys::GetCurrentTimestamp() });
        let columns = &tables.columns;
        let fields = [
            (columns.key[0], cluster),
            (columns.key[1], resource_type),
            (columns.key[2], resource_id),
            (columns.key[3], lock_name),
            (columns.token, arg(token)),
            (columns.service_id, arg(self.service_id)),
            (columns.status, status),
            (columns.request_id, self.request_id.and_then(arg)),
            (columns.details, self.details),
            (columns.acquired_at, now),
            (columns.updated_at, now),
        ];
        let written = match write::insert(tables, c"acquire()", token, fields) {
            Ok(false) => sql::ACQUIRE.count(&fields.map(|(_, value)| value)[..10]),
            directly => directly.map(usize::from),
        };
        match written {
            Err(Error::Postgres(error)) if error.constraint() == TOKEN_KEY => {
                Err(Error::TokenInUse(token))
            }
            written => written.map(|_| token),
        }
    }

    /// Why the lock can't be had now, for a service that is alive; an error for one that isn't.
    fn look(&self) -> Result<Refusal, Error> {
        let tables = Tables::open()?;
        match tables.service(self.service_id)? {
            Liveness::Alive(_) => match tables.in_the_way(self.names, self.working)? {
                None => Ok(Refusal::Gone),
                Some(row) => self.judge(&row),
            },
            Liveness::Expired | Liveness::Fenced => self.why_refused(),
        }
    }

    /// What a row in the way means. Of a holder that is alive, as nearly all are, the row itself tells; of another a
    /// statement does.
    fn judge(&self, row: &Obstacle) -> Result<Refusal, Error> {
        let same = row.has_key
            && row.service_id == self.service_id
            && self.request_id.is_some()
            && self.request_id == row.request_id;
        if same && !sabotage::removed(Guard::RequestId) {
            // Unless it is one that the service has claimed: that one's request was another's.
            return self.why_refused();
        }
        match Tables::open()?.service(row.service_id)? {
            Liveness::Alive(left) => Ok(Refusal::Held(Blocker {
                token: row.token,
                service_id: row.service_id,
                dead: false,
                cleanable: false,
                lease_left: left,
                row: row.place,
            })),
            Liveness::Expired | Liveness::Fenced => self.why_refused(),
        }
    }

    fn why_refused(&self) -> Result<Refusal, Error> {
        let [_, resource_type, resource_id, lock_name] = self.names.map(arg);
        Refusal::find(
            self.service_id,
            &[
                arg(self.service_id),
                resource_type,
                resource_id,
                lock_name,
                arg(self.working),
                self.request_id.and_then(arg),
            ],
        )
    }

    /// Has the holder's service cleaned up.
    fn clean_up(&self, blocker: &Blocker) -> Result<Clearing, Error> {
        on_the_way::clear(&self.deadline, [blocker.service_id], || {
            Ok(match self.why_refused()? {
                Refusal::Held(still) if still.token == blocker.token && still.dead => {
                    Clearing::InVain
                }
                Refusal::Held(still) if still.token == blocker.token => Clearing::Busy,
                _ => Clearing::Cleared,
            })
        })
    }
}

/// When the wait is over; refused where nothing may wait.
pub fn deadline(verb: &str, wait: Option<Interval>) -> Result<Deadline, Error> {
    let deadline = Deadline::after(argument::wait(wait)?);
    if deadline.may_wait() && transaction_snapshot_only() {
        return Err(Error::Unsupported {
            what: format!("{verb} can wait only under READ COMMITTED"),
            hint: "Use wait => '0', or a transaction at READ COMMITTED.",
        });
    }
    Ok(deadline)
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the SQL interface")]
fn acquire(
    service_id: Option<i64>,
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    lock_name: Option<&str>,
    status: Option<&str>,
    wait: Option<Interval>,
    request_id: Option<Uuid>,
    // Passed on as it is, however deep it nests.
    details: Option<AnyElement>,
) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let lock_name = argument::lock_name(lock_name)?;
        let status = argument::status(status)?;
        let deadline = deadline("acquire", wait)?;
        let cluster = identity::acting_for(service_id)?.cluster;
        let names = [&cluster, resource_type, resource_id, lock_name];
        let request = Request {
            details: details.map(|details| details.datum()),
            ..Request::new(service_id, names, status.is_some(), request_id, deadline)
        };
        let status = status.and_then(arg);
        Ok(match request.acquire(|| Ok(Ready::Take(status)))? {
            Got::Inserted(token) | Got::HeldByRequest(token) => Some(token),
            Got::NotFree | Got::Declined | Got::GaveWay => None,
        })
    })
}

export! {
    volguard_acquire, pg_finfo_volguard_acquire => acquire_wrapper;
}
