//! Taking several locks at once: all of them or none, in one statement, by the head of all their lines.

mod lines;
mod lock_list;
mod obstacles;

use crate::clearing::{self, Clearing};
use crate::document::Path;
use crate::error::Error;
use crate::export::{export, verb};
use crate::fence::Gate;
use crate::jsonb::Jsonb;
use crate::refusal::Blocker;
use crate::sabotage::{self, Guard};
use crate::spi::{Arg, arg};
use crate::wait::{Deadline, Line, line};
use crate::{acquire, argument, service, settings, statements, token};
use lines::Lines;
use lock_list::Wanted;
use obstacles::{Obstacle, Obstacles};
use pgrx::datum::{AnyElement, Interval, Uuid};
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use pgrx::pg_sys;
use std::collections::HashSet;
use std::rc::Rc;

/// What one call asks for.
struct Request {
    service_id: i64,
    cluster: Rc<str>,
    locks: Vec<Wanted>,
    /// The statements' parameters, in their order: service, list, request, cluster, epoch.
    parameters: [Arg; 5],
    deadline: Deadline,
}

/// How the tokens were got.
enum Got {
    Inserted(Vec<i64>),
    HeldByRequest(Vec<i64>),
}

/// What a call waits for.
enum Wait {
    /// A line that somebody else heads.
    ForLine(Line),
    /// A row that is in the way.
    ForRow(Obstacle),
}

impl Request {
    /// The tokens, in the order of the list.
    fn acquire(&self) -> Result<Option<Vec<i64>>, Error> {
        let mut lines = Lines::of(&self.cluster, &self.locks);
        let got = self.acquire_in(&mut lines)?;
        if let Some(Got::Inserted(tokens)) = got {
            // They aren't committed yet: the lines stay ours until they are.
            return Ok(Some(tokens));
        }
        // So that a long transaction doesn't block others with a refusal.
        lines.leave();
        Ok(match got {
            Some(Got::HeldByRequest(tokens)) => Some(tokens),
            _ => None,
        })
    }

    fn acquire_in(&self, lines: &mut Lines) -> Result<Option<Got>, Error> {
        // Rows whose cleanup was tried in vain: trying again would only fail, and write, again.
        let mut hopeless = HashSet::new();
        // The first attempt is made without a look, since most often all is free; each later one after a look that found
        // nothing in the way, since an attempt heads lines of locks that others may want.
        let mut attempting = true;
        loop {
            line::before_look()?;
            let mut taken = None;
            if attempting {
                taken = lines.head_free_ones()?;
                if taken.is_none()
                    && let Some(tokens) = self.insert()?
                {
                    token::make_durable();
                    return Ok(Some(Got::Inserted(tokens)));
                }
            }
            let wait = match (self.obstacles()?, taken) {
                (Obstacles::HeldByRequest(tokens), _) => {
                    return Ok(Some(Got::HeldByRequest(tokens)));
                }
                (Obstacles::Gone, Some(line)) => Wait::ForLine(line),
                (Obstacles::Gone, None) if !attempting => {
                    attempting = true;
                    continue;
                }
                // It went between the two looks, or the gate was busy: look again, if there is time to.
                (Obstacles::Gone, None) if !self.deadline.left().is_zero() => continue,
                (Obstacles::Gone, None) => return Ok(None),
                (Obstacles::Held(rows), taken) => {
                    let in_the_way = |row: &Obstacle| !is_clearable(&row.blocker, &hopeless);
                    match (rows.iter().position(in_the_way), taken) {
                        (Some(at), _) => Wait::ForRow(nth(rows, at)),
                        (None, Some(line)) => Wait::ForLine(line),
                        // A cleanup is for the head of all lines.
                        (None, None) if !attempting => {
                            attempting = true;
                            continue;
                        }
                        (None, None) => match self.clean_up(&rows, &mut hopeless)? {
                            Clearing::Cleared | Clearing::InVain => continue,
                            Clearing::Busy => Wait::ForRow(nth(rows, 0)),
                        },
                    }
                }
            };
            if self.deadline.left().is_zero() || !self.wait(wait, lines)? {
                return Ok(None);
            }
            attempting = false;
        }
    }

    /// One attempt, as head of all lines and under the caller's own gate. `None` also when that gate stays closed.
    fn insert(&self) -> Result<Option<Vec<i64>>, Error> {
        let gate = Gate::of(self.service_id);
        if !gate.enter_within(&self.deadline)? {
            return Ok(None);
        }
        let tokens = statements::ACQUIRE_ALL.run(&self.parameters, |rows| {
            let tokens = (0..rows.len()).filter_map(|row| rows.get::<i64>(row, 0));
            tokens.collect::<Vec<_>>()
        })?;
        if tokens.len() == self.locks.len() || sabotage::removed(Guard::AllOrNone) {
            return Ok(Some(tokens));
        }
        // Only who inserts without heading the line, or a counter that was set back, can come between.
        if !tokens.is_empty() {
            statements::UNDO.count(&[arg(tokens)])?;
        }
        gate.leave();
        Ok(None)
    }

    fn obstacles(&self) -> Result<Obstacles, Error> {
        Obstacles::find(
            self.service_id,
            &self.cluster,
            &self.locks,
            &self.parameters[..4],
        )
    }

    /// Has the holders cleaned up that are in the way, all of them dead.
    fn clean_up(&self, rows: &[Obstacle], hopeless: &mut HashSet<i64>) -> Result<Clearing, Error> {
        let mut services: Vec<i64> = rows.iter().map(|row| row.blocker.service_id).collect();
        // In order, so that of two who have the same ones to clean up one gets through.
        services.sort_unstable();
        services.dedup();
        clearing::clear(&self.deadline, services, || {
            let Obstacles::Held(left) = self.obstacles()? else {
                return Ok(Clearing::Cleared);
            };
            let dead = left.iter().filter(|row| row.blocker.dead);
            let before = hopeless.len();
            hopeless.extend(dead.map(|row| row.blocker.token));
            Ok(match hopeless.len() > before {
                true => Clearing::InVain,
                false => Clearing::Busy,
            })
        })
    }

    /// False if the time ran out.
    fn wait(&self, wait: Wait, lines: &mut Lines) -> Result<bool, Error> {
        match wait {
            Wait::ForRow(row) if lines.heads(row.line) => {
                lines.give_way_but_in(row.line);
                row.blocker.wait(&self.deadline)?;
                Ok(true)
            }
            Wait::ForLine(line) | Wait::ForRow(Obstacle { line, .. }) => {
                lines.queue(line, &self.deadline)
            }
        }
    }
}

fn is_clearable(blocker: &Blocker, hopeless: &HashSet<i64>) -> bool {
    blocker.cleanable && settings::auto_cleanup() && !hopeless.contains(&blocker.token)
}

fn nth(mut rows: Vec<Obstacle>, at: usize) -> Obstacle {
    rows.swap_remove(at)
}

/// How many lines a call may head: half of what the server's lock table is made for.
fn most_lines() -> usize {
    // SAFETY: plain variables of the backend, set when the server starts.
    let entries = unsafe {
        i64::from(pg_sys::max_locks_per_xact).saturating_mul(i64::from(pg_sys::MaxConnections))
    };
    usize::try_from(entries / 2).unwrap_or(1).max(1)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the SQL interface")]
fn acquire_all(
    service_id: Option<i64>,
    // A document that is taken as it is.
    locks: Option<AnyElement>,
    wait: Option<Interval>,
    request_id: Option<Uuid>,
) -> TableIterator<
    'static,
    (
        pgrx::name!(resource_type, String),
        pgrx::name!(resource_id, String),
        pgrx::name!(lock_name, String),
        pgrx::name!(token, i64),
    ),
> {
    let rows = verb(Vec::new(), || {
        let service_id = argument::required("service_id", service_id)?;
        let list = argument::required("locks", locks)?.datum();
        // SAFETY: the function is declared with a jsonb there, which lives while it runs.
        let text = unsafe { Jsonb::new(list) }.text(&Path::root("locks"))?;
        let locks = lock_list::parse(text, most_lines())?;
        let deadline = acquire::deadline("acquire_all", wait)?;
        let cluster = service::acting_for(service_id)?.cluster;
        let request = Request {
            service_id,
            parameters: [
                arg(service_id),
                Some(list),
                request_id.and_then(arg),
                arg(&*cluster),
                arg(token::epoch()),
            ],
            cluster,
            locks,
            deadline,
        };
        let tokens = request.acquire()?.unwrap_or_default();
        Ok(request.locks.into_iter().zip(tokens).collect())
    });
    TableIterator::new(rows.into_iter().map(|(lock, token)| {
        let Wanted {
            resource_type,
            resource_id,
            lock_name,
            ..
        } = lock;
        (resource_type, resource_id, lock_name, token)
    }))
}

export! {
    volguard_acquire_all, pg_finfo_volguard_acquire_all => acquire_all_wrapper;
}
