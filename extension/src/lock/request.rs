//! What one call asks for, and its statements.

use super::conflicts::{Obstacle, Obstacles};
use super::list::Wanted;
use crate::cleanup::on_the_way::{self, Clearing};
use crate::pg::error::Error;
use crate::pg::spi::{Arg, arg};
use crate::sabotage::{self, Guard};
use crate::service::guard::ServiceLock;
use crate::store::{sql, token};
use crate::wait::Deadline;
use std::collections::HashSet;
use std::rc::Rc;

pub struct Request {
    pub service_id: i64,
    pub cluster: Rc<str>,
    pub locks: Vec<Wanted>,
    /// The statements' parameters, in their order: service, list, request, cluster.
    pub parameters: [Arg; 4],
    pub deadline: Deadline,
}

impl Request {
    /// One attempt, as head of all lines and under the caller's own gate. `None` also when that gate stays closed.
    pub fn insert(&self) -> Result<Option<Vec<i64>>, Error> {
        let guard = ServiceLock::of(self.service_id);
        if !guard.lock_shared_within(&self.deadline)? {
            return Ok(None);
        }
        let [service, list, request, cluster] = self.parameters;
        let parameters = [service, list, request, cluster, arg(token::epoch()?)];
        let tokens = sql::ACQUIRE_ALL.run(&parameters, |rows| {
            let tokens = (0..rows.len()).filter_map(|row| rows.get::<i64>(row, 0));
            tokens.collect::<Vec<_>>()
        })?;
        if tokens.len() == self.locks.len() {
            return Ok(Some(tokens));
        }
        // Only who inserts without heading the line, or a counter that was set back, can come between.
        if !tokens.is_empty() {
            if sabotage::removed(Guard::AllOrNone) {
                return Ok(Some(tokens));
            }
            sql::UNDO.count(&[arg(tokens)])?;
        }
        guard.unlock_shared();
        Ok(None)
    }

    pub fn obstacles(&self) -> Result<Obstacles, Error> {
        Obstacles::find(
            self.service_id,
            &self.cluster,
            &self.locks,
            &self.parameters,
        )
    }

    /// Has the holders cleaned up that are in the way, all of them dead. Rows that a cleanup doesn't free become hopeless.
    pub fn clean_up(
        &self,
        rows: &[Obstacle],
        hopeless: &mut HashSet<i64>,
    ) -> Result<Clearing, Error> {
        let mut services: Vec<i64> = rows.iter().map(|row| row.blocker.service_id).collect();
        // In order, so that of two who have the same ones to clean up one gets through.
        services.sort_unstable();
        services.dedup();
        on_the_way::clear(&self.deadline, services, || {
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
}
