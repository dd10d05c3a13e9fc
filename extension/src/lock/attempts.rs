//! A call on its way to all its locks: attempts, looks and waits.

use super::conflicts::{Obstacle, Obstacles};
use super::queues::Lines;
use super::request::Request;
use crate::cleanup::on_the_way::Clearing;
use crate::pg::error::Error;
use crate::pg::settings;
use crate::store::token;
use crate::wait::{WaitQueue, queue};
use std::collections::HashSet;

pub struct Pursuit<'r> {
    request: &'r Request,
    lines: Lines,
    waiting_in: Option<WaitQueue>,
    /// Rows whose cleanup was tried in vain: trying again would only fail, and write, again.
    hopeless: HashSet<i64>,
}

/// How the tokens were got.
enum Got {
    Inserted(Vec<i64>),
    HeldByRequest(Vec<i64>),
}

/// What a look comes to.
enum Step {
    Attempt,
    Wait(Wait),
    End(Option<Got>),
}

enum Wait {
    /// For a line that somebody else heads.
    ForLine(WaitQueue),
    /// For a row that is in the way.
    ForRow(Obstacle),
}

impl<'r> Pursuit<'r> {
    pub fn of(request: &'r Request) -> Self {
        Pursuit {
            request,
            lines: Lines::of(&request.cluster, &request.locks),
            waiting_in: None,
            hopeless: HashSet::new(),
        }
    }

    /// The tokens, in the order of the list.
    pub fn run(mut self) -> Result<Option<Vec<i64>>, Error> {
        let got = self.pursue()?;
        if let Some(Got::Inserted(tokens)) = got {
            // They aren't committed yet: the lines stay ours until they are.
            token::make_durable();
            return Ok(Some(tokens));
        }
        // So that a long transaction doesn't block others with a refusal.
        self.lines.leave();
        Ok(match got {
            Some(Got::HeldByRequest(tokens)) => Some(tokens),
            _ => None,
        })
    }

    /// The first attempt is made without a look, since most often all is free; each later one after a look that found nothing
    /// in the way, since an attempt heads lines of locks that others may want.
    fn pursue(&mut self) -> Result<Option<Got>, Error> {
        let mut attempting = true;
        loop {
            queue::before_look()?;
            let mut taken = None;
            if attempting {
                taken = self.lines.head_free_ones()?;
                if taken.is_none()
                    && let Some(tokens) = self.request.insert()?
                {
                    return Ok(Some(Got::Inserted(tokens)));
                }
            }
            match self.look(attempting, taken)? {
                Step::Attempt => attempting = true,
                Step::End(got) => return Ok(got),
                Step::Wait(wait) => {
                    if self.is_over() || !self.wait(wait)? {
                        return Ok(None);
                    }
                    attempting = false;
                }
            }
        }
    }

    /// What to do after an attempt that got nothing, for instance because a line is `taken`; or after a wait.
    fn look(&mut self, attempted: bool, taken: Option<WaitQueue>) -> Result<Step, Error> {
        Ok(match (self.request.obstacles()?, taken) {
            (Obstacles::HeldByRequest(tokens), _) => Step::End(Some(Got::HeldByRequest(tokens))),
            (Obstacles::Held(rows), taken) => self.pass(rows, attempted, taken)?,
            (Obstacles::Gone, Some(line)) => Step::Wait(Wait::ForLine(line)),
            // What was in the way went between attempt and look, or it was the gate.
            (Obstacles::Gone, None) if attempted && self.is_over() => Step::End(None),
            (Obstacles::Gone, None) => Step::Attempt,
        })
    }

    /// Some rows are in the way: waits for one that lasts, or has all cleaned up as head of all lines.
    fn pass(
        &mut self,
        rows: Vec<Obstacle>,
        attempted: bool,
        taken: Option<WaitQueue>,
    ) -> Result<Step, Error> {
        if let Some(lasting) = self.lasting(&rows) {
            return Ok(Step::Wait(for_row(rows, lasting)));
        }
        if let Some(line) = taken {
            return Ok(Step::Wait(Wait::ForLine(line)));
        }
        if !attempted {
            return Ok(Step::Attempt);
        }
        Ok(match self.request.clean_up(&rows, &mut self.hopeless)? {
            Clearing::Cleared | Clearing::InVain => Step::Attempt,
            Clearing::Busy => Step::Wait(for_row(rows, 0)),
        })
    }

    /// A row that no cleanup frees; if there are several, the one that it waits for already, so that it keeps its place in line.
    fn lasting(&self, rows: &[Obstacle]) -> Option<usize> {
        let lasts = |row: &Obstacle| {
            let blocker = &row.blocker;
            !(blocker.cleanable
                && settings::auto_cleanup()
                && !self.hopeless.contains(&blocker.token))
        };
        let same = |row: &Obstacle| self.waiting_in == Some(row.line) && lasts(row);
        let same = rows.iter().position(same);
        same.or_else(|| rows.iter().position(lasts))
    }

    /// False if the time ran out.
    fn wait(&mut self, wait: Wait) -> Result<bool, Error> {
        let line = wait.line();
        self.waiting_in = Some(line);
        match wait {
            Wait::ForRow(row) if self.lines.heads(line) => {
                self.lines.give_way_but_in(line);
                row.blocker.wait(&self.request.deadline)?;
                Ok(true)
            }
            _ => self.lines.queue(line, &self.request.deadline),
        }
    }

    fn is_over(&self) -> bool {
        self.request.deadline.left().is_zero()
    }
}

fn for_row(mut rows: Vec<Obstacle>, at: usize) -> Wait {
    Wait::ForRow(rows.swap_remove(at))
}

impl Wait {
    fn line(&self) -> WaitQueue {
        match self {
            Wait::ForLine(line) | Wait::ForRow(Obstacle { line, .. }) => *line,
        }
    }
}
