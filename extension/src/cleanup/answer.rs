//! What became of work that processes were asked to repair.

use super::order::State;
use crate::pg::error::Error;
use crate::pg::log;
use crate::pg::lookup_locks;
use crate::pg::spi::{Rows, arg};
use crate::store::sql;
use pgrx::pg_sys::Oid;
use std::collections::HashMap;
use std::rc::Rc;

/// Warnings of one call.
const MOST_WARNINGS: i32 = 20;

/// What processes did.
#[derive(Debug, Default)]
pub struct Answer {
    /// By token.
    pub states: HashMap<i64, State>,
    /// The server had no room for a process.
    pub no_process: bool,
    /// By processes that have ended before they began.
    pub not_started: Vec<i64>,
    /// Owners whose rules another call's process was running.
    pub busy: Vec<Oid>,
    /// There was no time for all.
    pub unfinished: bool,
    /// Work that has no table, and so no rule: by type of resource.
    pub without_table: Vec<(Rc<str>, Vec<i64>)>,
    /// Why an operator's work is left.
    pub reason: Option<String>,
}

impl Answer {
    pub fn state(&self, token: i64) -> State {
        self.states.get(&token).copied().unwrap_or(State::Untried)
    }

    pub fn tokens_in(&self, state: State) -> Vec<i64> {
        self.states.iter().filter(|(_, is)| **is == state).map(|(token, _)| *token).collect()
    }

    /// Warns of the work whose rules have failed.
    pub fn warn(&self) -> Result<(), Error> {
        let failed =
            [State::Failed, State::Trying].into_iter().flat_map(|state| self.tokens_in(state)).collect::<Vec<_>>();
        if failed.is_empty() {
            return Ok(());
        }
        let read = |rows: &Rows| {
            rows.each(|row| {
                let text = |column| rows.get::<String>(row, column);
                Some((text(0)?, text(1)?, text(2)?, rows.get::<i64>(row, 3)?, text(4)?))
            })
        };
        let parameters = [arg(failed), arg(MOST_WARNINGS + 1)];
        let warnings = lookup_locks::given_back(|| sql::FAILED_WORK.run(&parameters, read))?;
        for (number, (resource_type, status, reason, count, first)) in warnings.into_iter().enumerate() {
            if number == MOST_WARNINGS as usize {
                log::warning("crash rules failed on more, see volguard.lock_status", None);
                break;
            }
            let what = match count {
                1 => first,
                count => format!("{first} and {} more", count - 1),
            };
            log::warning(
                &format!("the crash rule of {resource_type} in status {status} failed on {what}: {reason}"),
                None,
            );
        }
        Ok(())
    }
}
