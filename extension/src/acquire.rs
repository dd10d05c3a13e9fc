//! Taking a lock: a conditional insert, by the head of the key's line.

use crate::clearing::{self, Clearing};
use crate::error::Error;
use crate::export::{export, verb};
use crate::fence::Gate;
use crate::look::{self, Tables};
use crate::refusal::{Blocker, Refusal};
use crate::spi::{Arg, arg, transaction_snapshot_only};
use crate::wait::{Deadline, Line, line};
use crate::{argument, service, settings, statements, token, write};
use pgrx::datum::{AnyElement, Interval, Uuid};
use pgrx::{pg_extern, pg_sys};

/// The unique index that no two rows with one token get past.
const TOKEN_KEY: &str = "workers_token_key";

/// What one call asks for.
struct Request<'a> {
    service_id: i64,
    /// cluster, type, id, lock name
    names: [&'a str; 4],
    status: Arg,
    request_id: Arg,
    details: Arg,
    /// The lines to head, the key's first.
    lines: Vec<Line>,
    deadline: Deadline,
}

/// How a token was got.
enum Got {
    Inserted(i64),
    HeldByRequest(i64),
}

impl Request<'_> {
    fn acquire(&self) -> Result<Option<i64>, Error> {
        for (headed, line) in self.lines.iter().enumerate() {
            if line.try_head()? {
                continue;
            }
            // The lock may be ours since an earlier try, with others already in line behind it; and a fenced service
            // is told so even if it doesn't want to wait.
            if (self.request_id.is_some() || !self.deadline.may_wait())
                && let Refusal::HeldByRequest(token) = self.why_refused()?
            {
                self.leave(headed);
                return Ok(Some(token));
            }
            if !line.become_head(&self.deadline)? {
                self.leave(headed);
                return Ok(None);
            }
        }
        let got = self.insert_as_head()?;
        match got {
            // Its insert isn't committed yet: the lines stay ours until it is.
            Some(Got::Inserted(token)) => Ok(Some(token)),
            Some(Got::HeldByRequest(token)) => {
                self.leave(self.lines.len());
                Ok(Some(token))
            }
            None => {
                self.leave(self.lines.len());
                Ok(None)
            }
        }
    }

    /// Leaves the lines it heads, so that a long transaction doesn't block others with a refusal.
    fn leave(&self, headed: usize) {
        for line in &self.lines[..headed] {
            line.leave();
        }
    }

    fn insert_as_head(&self) -> Result<Option<Got>, Error> {
        // The row whose cleanup was tried in vain: trying again would only fail, and write, again.
        let mut hopeless = None;
        loop {
            line::before_look()?;
            if let Some(token) = self.insert()? {
                token::make_durable();
                return Ok(Some(Got::Inserted(token)));
            }
            let blocker = match self.why_refused()? {
                Refusal::HeldByRequest(token) => return Ok(Some(Got::HeldByRequest(token))),
                Refusal::Held(blocker) => blocker,
                // It went between the two looks, or the gate was busy: look again, if there is time to.
                Refusal::Gone if self.deadline.may_wait() && !self.deadline.left().is_zero() => {
                    continue;
                }
                Refusal::Gone => return Ok(None),
            };
            if blocker.cleanable && settings::auto_cleanup() && hopeless != Some(blocker.token) {
                match self.clean_up(&blocker)? {
                    Clearing::Cleared => continue,
                    Clearing::InVain => hopeless = Some(blocker.token),
                    Clearing::Busy => {}
                }
            }
            if self.deadline.left().is_zero() {
                return Ok(None);
            }
            blocker.wait(&self.deadline)?;
        }
    }

    /// One attempt, under the caller's own gate. `None` also when that gate stays closed.
    fn insert(&self) -> Result<Option<i64>, Error> {
        let gate = Gate::of(self.service_id);
        if !gate.enter_within(&self.deadline)? {
            return Ok(None);
        }
        let tables = Tables::open()?;
        let token = match self.is_free(&tables)? {
            true => Some(self.write(&tables)?),
            false => None,
        };
        if token.is_none() {
            gate.leave();
        }
        Ok(token)
    }

    /// By looks that never wait: an insert would, for somebody who is deleting the row.
    fn is_free(&self, tables: &Tables) -> Result<bool, Error> {
        let alive = tables.service(self.service_id)? == look::Service::Alive;
        Ok(alive && !tables.is_taken(self.names, self.status.is_some())?)
    }

    fn write(&self, tables: &Tables) -> Result<i64, Error> {
        let token = token::draw(tables)?;
        let [cluster, resource_type, resource_id, lock_name] = self.names.map(arg);
        // SAFETY: reads the clock.
        let now = arg(unsafe { pg_sys::GetCurrentTimestamp() });
        let columns = tables.columns();
        let fields = [
            (columns.key[0], cluster),
            (columns.key[1], resource_type),
            (columns.key[2], resource_id),
            (columns.key[3], lock_name),
            (columns.token, arg(token)),
            (columns.service_id, arg(self.service_id)),
            (columns.status, self.status),
            (columns.request_id, self.request_id),
            (columns.details, self.details),
            (columns.acquired_at, now),
            (columns.updated_at, now),
        ];
        let written = match write::insert(tables, c"acquire()", fields) {
            Ok(false) => statements::ACQUIRE.count(&fields.map(|(_, value)| value)[..10]),
            directly => directly.map(usize::from),
        };
        match written {
            Err(Error::Postgres(error)) if error.constraint() == TOKEN_KEY => {
                Err(Error::TokenInUse(token))
            }
            written => written.map(|_| token),
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
                self.status,
                self.request_id,
            ],
        )
    }

    /// Has the holder's service cleaned up.
    fn clean_up(&self, blocker: &Blocker) -> Result<Clearing, Error> {
        clearing::clear(&self.deadline, [blocker.service_id], || {
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
        let cluster = service::acting_for(service_id)?.cluster;
        let mut lines = vec![Line::of_key(
            &cluster,
            resource_type,
            resource_id,
            lock_name,
        )];
        if status.is_some() {
            lines.push(Line::of_work(&cluster, resource_type, resource_id));
        }
        let request = Request {
            service_id,
            names: [&cluster, resource_type, resource_id, lock_name],
            status: status.and_then(arg),
            request_id: request_id.and_then(arg),
            details: details.map(|details| details.datum()),
            lines,
            deadline,
        };
        request.acquire()
    })
}

export! {
    volguard_acquire, pg_finfo_volguard_acquire => acquire_wrapper;
}
