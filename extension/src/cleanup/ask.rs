//! Has work repaired: asks a process for each owner of tables, and waits for it.

use super::answer::Answer;
use super::kind::{Work, WorkItem, WorkKind};
use super::order::{Order, State};
use super::process;
use crate::pg::error::Error;
use crate::pg::process::Process;
use crate::pg::{lookup_locks, owner};
use crate::sabotage::{self, Guard};
use crate::service::in_time;
use crate::store::tables::Tables;
use crate::store::tracked::Resource;
use crate::wait::Deadline;
use crate::wait::queue;
use crate::wait::tag::{Mode, Tag};
use pgrx::pg_sys::Oid;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// For how long rules of one owner are waited for before those of the next one are begun.
const PATIENCE: Duration = Duration::from_secs(1);

/// A piece of work to be repaired.
pub struct Asked {
    pub token: i64,
    pub resource_type: Rc<str>,
}

impl Asked {
    pub fn all(work: &Work) -> Vec<Asked> {
        let of_kind = |(kind, items): &(WorkKind, Vec<WorkItem>)| {
            let resource_type: Rc<str> = kind.resource_type.as_str().into();
            items
                .iter()
                .map(move |item| Asked { token: item.token, resource_type: resource_type.clone() })
                .collect::<Vec<_>>()
        };
        work.iter().flat_map(of_kind).collect()
    }
}

/// Has work repaired, and waits until `end` at the longest.
pub fn repair(work: &[Asked], end: Instant) -> Result<Answer, Error> {
    warned(Repair::until(end).all(work)?)
}

/// The same, for a call that waits for this work: calls for the work of one owner are served in turn.
pub fn repair_in_turn(work: &[Asked], deadline: &Deadline) -> Result<Answer, Error> {
    let end = Instant::now() + deadline.sleep()?;
    warned(Repair { asker: Asker::Waiter(*deadline), ..Repair::until(end) }.all(work)?)
}

/// One piece of work, for the caller, an operator: also if its service lives.
pub fn repair_for_operator(work: Asked, end: Instant) -> Result<Answer, Error> {
    Repair { asker: Asker::Operator(owner::caller()), ..Repair::until(end) }.all(&[work])
}

fn warned(answer: Answer) -> Result<Answer, Error> {
    answer.warn()?;
    Ok(answer)
}

/// Who asks, and so how long it waits until it is its turn.
#[derive(Clone, Copy)]
enum Asker {
    /// Not at all.
    Cleaner,
    /// As long as it may wait for the work itself.
    Waiter(Deadline),
    /// Some seconds; and for work of services that live, too.
    Operator(Oid),
}

/// A process, and the right to be the only one that asks for repairs of its owner's work.
struct Running {
    process: Process,
    order: Order,
    turn: Option<Tag>,
}

/// Processes that this call has started. One that runs when its time is over, or when it is cancelled, is left to end:
/// it does so within seconds, and what it repairs stays repaired.
pub struct Repair {
    asker: Asker,
    end: Instant,
    running: Vec<Running>,
    answer: Answer,
}

impl Repair {
    pub fn until(end: Instant) -> Repair {
        Repair { asker: Asker::Cleaner, end, running: Vec::new(), answer: Answer::default() }
    }

    fn all(mut self, work: &[Asked]) -> Result<Answer, Error> {
        self.begin(work)?;
        self.end()
    }

    /// Starts a process for each owner, and waits a moment for it.
    pub fn begin(&mut self, work: &[Asked]) -> Result<(), Error> {
        let ByOwner { owners, without_table } = lookup_locks::given_back(|| by_owner(work))?;
        let tokens = without_table.iter().flat_map(|(_, tokens)| tokens);
        self.answer.states.extend(tokens.map(|token| (*token, State::AwaitingLater)));
        self.answer.without_table.extend(without_table);
        let mut owners = owners.into_iter();
        while let Some((owner, tokens)) = owners.next() {
            if Instant::now() >= self.end {
                self.answer.unfinished = true;
                return Ok(());
            }
            let Some(turn) = self.turn(owner)? else {
                self.answer.busy.push(owner);
                continue;
            };
            if let Asker::Waiter(_) = self.asker
                && !lookup_locks::given_back(|| any_is_left(&tokens))?
            {
                turn.unlock(Mode::Exclusive);
                self.answer.states.extend(tokens.into_iter().map(|token| (token, State::Stale)));
                continue;
            }
            let mut begun = self.start(owner, turn, &tokens)?;
            if begun.is_none() && !self.running.is_empty() {
                // Processes of this call may have the last places.
                self.wait(0, self.end)?;
                begun = self.start(owner, turn, &tokens)?;
            }
            let Some(begun) = begun else {
                turn.unlock(Mode::Exclusive);
                self.answer.no_process = true;
                let rest = owners.flat_map(|(_, tokens)| tokens);
                self.answer.states.extend(tokens.into_iter().chain(rest).map(|token| (token, State::Untried)));
                return Ok(());
            };
            self.running.push(begun);
            self.wait(self.running.len() - 1, self.end.min(Instant::now() + PATIENCE))?;
        }
        Ok(())
    }

    /// Held until the process has ended. `None` if another call has it, or has left its process running.
    fn turn(&self, owner: Oid) -> Result<Option<Tag>, Error> {
        let turn = process::turn_of(owner);
        let is_its = match &self.asker {
            Asker::Cleaner => turn.try_lock(Mode::Exclusive)?,
            Asker::Waiter(deadline) => deadline.bound(|| turn.lock(Mode::Exclusive))?.is_some(),
            Asker::Operator(_) => {
                in_time::lock(&turn, &in_time::deadline(), || process::RULES_RUN.to_owned())?;
                true
            }
        };
        if !is_its {
            return Ok(None);
        }
        let running = process::lock_of(owner);
        if !running.try_lock(Mode::Exclusive)? {
            turn.unlock(Mode::Exclusive);
            return Ok(None);
        }
        // The process takes it.
        running.unlock(Mode::Exclusive);
        Ok(Some(turn))
    }

    /// `None` if the server has no room.
    fn start(&self, owner: Oid, turn: Tag, tokens: &[i64]) -> Result<Option<Running>, Error> {
        let operator = match self.asker {
            Asker::Operator(operator) => Some(operator),
            _ => None,
        };
        let Some(order) = Order::new(owner, operator, tokens.to_vec())? else {
            return Ok(None);
        };
        let process = Process::start("volguard repair worker", "volguard_repair_worker", order.handle());
        Ok(process.map(|process| Running { process, order, turn: Some(turn) }))
    }

    /// Waits until the processes from that number on have ended, or until `end`.
    fn wait(&mut self, first: usize, end: Instant) -> Result<(), Error> {
        loop {
            queue::before_lookup()?;
            for running in &mut self.running {
                if !running.process.is_alive()
                    && let Some(turn) = running.turn.take()
                {
                    turn.unlock(Mode::Exclusive);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.running[first..].iter().all(|running| running.turn.is_none()) {
                return Ok(());
            }
            queue::sleep(left)?;
        }
    }

    /// Whether all that was begun has ended.
    pub fn is_over(&self) -> bool {
        self.answer.busy.is_empty() && !self.running.iter().any(|running| running.process.is_alive())
    }

    pub fn end(mut self) -> Result<Answer, Error> {
        self.wait(0, self.end)?;
        let mut answer = self.answer;
        for Running { process, order, turn } in self.running {
            if let Some(turn) = turn {
                turn.unlock(Mode::Exclusive);
            }
            if !order.is_started() && !process.is_alive() {
                answer.not_started.extend(order.tokens());
            }
            answer.states.extend(order.states());
            answer.unfinished |= order.is_unfinished();
            answer.reason = answer.reason.or(order.reason());
        }
        Ok(answer)
    }
}

/// Whether a call that has waited for its turn still has something to ask for.
fn any_is_left(tokens: &[i64]) -> Result<bool, Error> {
    let tables = Tables::open()?;
    for token in tokens {
        if tables.held(*token)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The tokens of work.
#[derive(Default)]
struct ByOwner {
    owners: Vec<(Oid, Vec<i64>)>,
    without_table: Vec<(Rc<str>, Vec<i64>)>,
}

fn by_owner(work: &[Asked]) -> Result<ByOwner, Error> {
    let mut known: HashMap<&str, Option<Oid>> = HashMap::new();
    let mut by_owner = ByOwner::default();
    for Asked { token, resource_type } in work {
        let owner = match known.get(&**resource_type) {
            Some(owner) => *owner,
            None => {
                let target = Resource::find(resource_type)?.map(|resource| resource.target);
                let owner = target.and_then(owner::of_relation);
                known.insert(resource_type, owner);
                owner
            }
        };
        match owner {
            Some(owner) => {
                let same = |of: Oid| of == owner || sabotage::removed(Guard::OwnProcess);
                push(&mut by_owner.owners, |of| same(*of), || owner, *token);
            }
            None => push(&mut by_owner.without_table, |of| of == resource_type, || resource_type.clone(), *token),
        }
    }
    Ok(by_owner)
}

fn push<K>(groups: &mut Vec<(K, Vec<i64>)>, same: impl Fn(&K) -> bool, key: impl FnOnce() -> K, token: i64) {
    match groups.iter_mut().find(|(of, _)| same(of)) {
        Some((_, tokens)) => tokens.push(token),
        None => groups.push((key(), vec![token])),
    }
}
