//! Repairing the work of one kind by its crash rule, in the process for that: see [`super::process`].
//!
//! The rule runs on many resources at once. If it fails, that is undone and the halves are tried by themselves, down to
//! single resources, whose work waits: bisection finds one failing resource of n in O(log n) transactions. A rule has a
//! time limit. After a time-out the portions are smaller, since it may only take its time; after a second one in a
//! process it is not tried any more.

use super::attempt::{Attempt, Outcomes, WorkOutcome};
use super::awaiting::Awaiting;
use super::kind::{WorkItem, WorkKind};
use super::order::{Order, State};
use crate::pg::error::Error;
use crate::pg::transaction::{Failure, transaction};
use std::collections::BTreeSet;
use std::mem::take;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How many rows the first transaction changes, and how many a later one at the most: each may change twice as many as
/// the one before that was quick, whose time was this part of the rule's at the most.
const FIRST: usize = 100;
const MOST_AT_ONCE: usize = 2000;
const QUICK: u32 = 8;

/// By how much a portion is smaller after a time-out.
const SMALLER: usize = 16;

/// After so many the rest of the work is left to another call.
const MOST_TIME_OUTS: usize = 2;

/// The repair of one kind of work.
pub struct KindRepair<'o> {
    attempt: Attempt<'o>,
    order: &'o Order,
    until: Instant,
    /// How many rows the next transaction tries: of those that are new, and of those that have waited, each of which
    /// may hang or end the process.
    most: usize,
    most_waited: usize,
    /// Of the rule.
    time_outs: usize,
    /// What is to be noted in the end, each with the failure that is to be recorded.
    left: Vec<(WorkItem, Awaiting, Option<Rc<Failure>>)>,
}

impl<'o> KindRepair<'o> {
    pub fn of(kind: &'o WorkKind, order: &'o Order, until: Instant) -> Self {
        KindRepair {
            attempt: Attempt { kind, order },
            order,
            until,
            most: FIRST,
            most_waited: 1,
            time_outs: 0,
            left: Vec::new(),
        }
    }

    /// An error means that not even the reason could be noted why work waits.
    pub fn run(mut self, items: Vec<WorkItem>) -> Result<(), Failure> {
        let mut may_fail_on_nothing = items.len() > 1;
        // Work that has failed before does not take the rest along once more; first what is due.
        let (failed, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.failed_before);
        let (due, failed) = failed.into_iter().partition(|item| item.due);
        let (waited, fresh) = others.into_iter().partition(|item| item.waited);
        let mut stack: Vec<Vec<WorkItem>> = vec![failed, due, waited, fresh];
        while let Some(mut items) = stack.pop() {
            let Some(first) = items.first() else { continue };
            if self.has_taken_too_long() {
                let why = |item: WorkItem| (Awaiting::not_tried(&item), item);
                self.left.extend(items.into_iter().map(why).map(|(why, item)| (item, why, None)));
                continue;
            }
            if Instant::now() >= self.until {
                self.order.set_unfinished();
                break;
            }
            let most = self.most_of(first);
            if items.len() > *most {
                stack.push(items.split_off(*most));
            }
            self.report(items.iter().map(|item| (item, State::Trying)));
            let began = Instant::now();
            let failure = match self.step(|attempt| attempt.on(&items)) {
                Ok(outcomes) => {
                    self.report(items.iter().map(|item| (item, State::Untried)));
                    self.report(outcomes.iter().map(|(item, outcome)| (item, outcome.state())));
                    self.grow(&items, began.elapsed());
                    continue;
                }
                Err(failure) => failure,
            };
            // A rule that fails even without resources fails on each: no use in bisecting.
            if take(&mut may_fail_on_nothing)
                && !self.is_over()
                && let Err(failure) = self.step(Attempt::on_nothing)
            {
                items.extend(stack.drain(..).flatten());
                self.fail(items, failure);
                break;
            }
            if items.len() == 1 || self.is_over() {
                self.fail(items, failure);
                continue;
            }
            self.report(items.iter().map(|item| (item, State::Untried)));
            match failure.out_of_time {
                // Perhaps it only takes its time: then the next portions are as small.
                true => {
                    let most = (items.len() / SMALLER).max(1);
                    (self.most, self.most_waited) = (most, most.min(self.most_waited));
                    stack.push(items);
                }
                false => {
                    let later = items.split_off(items.len() / 2);
                    // The later half goes first, so that of two that fail the earlier is on top.
                    stack.extend([later, items]);
                }
            }
        }
        self.note_left()
    }

    fn most_of(&mut self, item: &WorkItem) -> &mut usize {
        match item.waited {
            true => &mut self.most_waited,
            false => &mut self.most,
        }
    }

    /// The next portion is larger if this one was quick.
    fn grow(&mut self, items: &[WorkItem], took: Duration) {
        let limit = self.order.limit();
        let Some(first) = items.first() else { return };
        let most = self.most_of(first);
        if items.len() >= *most && took * QUICK < limit {
            *most = (*most * 2).min(MOST_AT_ONCE);
        }
    }

    /// A transaction. Whatever it raises, also at its commit, is the rule's failure.
    fn step<T>(&mut self, body: impl FnOnce(&Attempt<'o>) -> Result<T, Error>) -> Result<T, Failure> {
        let tried = transaction(|| body(&self.attempt));
        if let Err(failure) = &tried
            && failure.out_of_time
        {
            self.time_outs += 1;
        }
        tried
    }

    fn has_taken_too_long(&self) -> bool {
        self.time_outs >= MOST_TIME_OUTS
    }

    /// Nothing more is tried.
    fn is_over(&self) -> bool {
        self.has_taken_too_long() || Instant::now() >= self.until
    }

    /// The rule failed on these, for one reason.
    fn fail(&mut self, items: Vec<WorkItem>, failure: Failure) {
        self.report(items.iter().map(|item| (item, State::Untried)));
        let why = Awaiting::failed(&failure);
        let failure = Rc::new(failure);
        for (number, item) in items.into_iter().enumerate() {
            let recorded = (number == 0).then(|| failure.clone());
            self.left.push((item, why.clone(), recorded));
        }
    }

    /// Notes why work waits, in a transaction of its own, which runs no code of the user.
    fn note_left(&mut self) -> Result<(), Failure> {
        let left = take(&mut self.left);
        if left.is_empty() {
            return Ok(());
        }
        let tokens: Vec<i64> = left.iter().map(|(item, ..)| item.token).collect();
        let noted = transaction(|| {
            let locked = self.attempt.lock(tokens)?;
            let locked: BTreeSet<i64> = locked.into_iter().map(|item| item.token).collect();
            let mut outcomes = Outcomes::new();
            for (item, why, failure) in left.into_iter().filter(|(item, ..)| locked.contains(&item.token)) {
                if let Some(failure) = failure {
                    self.attempt.record_failure(&item, &failure)?;
                }
                outcomes.push((item, WorkOutcome::Awaiting(why)));
            }
            self.attempt.note(&outcomes)?;
            Ok(outcomes)
        })?;
        self.report(noted.iter().map(|(item, outcome)| (item, outcome.state())));
        Ok(())
    }

    /// Tells the session that waits.
    fn report<'i>(&self, states: impl Iterator<Item = (&'i WorkItem, State)>) {
        states.for_each(|(item, state)| self.order.set(item.token, state));
    }
}
