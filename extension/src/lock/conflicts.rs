//! Why an attempt to take several locks got nothing.

use super::conflict::Blocker;
use super::list::Wanted;
use crate::pg::error::Error;
use crate::pg::spi::{Arg, Rows};
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::wait::WaitQueue;

/// What is in the way of a set of locks.
pub enum Obstacles {
    /// This very request got them all before; its reply was lost. In the order of the list.
    HeldByRequest(Vec<i64>),
    /// These rows, in the order of the list.
    Held(Vec<Obstacle>),
    /// Nothing any more.
    Gone,
}

/// One row in the way, and the line in which to wait for it.
pub struct Obstacle {
    pub blocker: Blocker,
    pub line: WaitQueue,
}

impl Obstacles {
    /// Looks, with the first four parameters of the attempt. An error if it is the caller's own service, or an earlier use of
    /// the request id, that is in the way.
    pub fn find(
        service_id: i64,
        cluster: &str,
        locks: &[Wanted],
        parameters: &[Arg],
    ) -> Result<Self, Error> {
        sql::WHY_REFUSED_ALL.run(parameters, |rows| {
            Self::read(service_id, cluster, locks, rows)
        })?
    }

    fn read(service_id: i64, cluster: &str, locks: &[Wanted], rows: &Rows) -> Result<Self, Error> {
        let flag = |row, column| rows.get::<bool>(row, column).unwrap_or(false);
        if rows.len() == 0 || flag(0, 0) {
            return Err(Error::ServiceFenced(service_id));
        }
        let mut own = Vec::new();
        let mut others = Vec::new();
        for row in 0..rows.len() {
            let (Some(token), Some(place)) = (rows.get::<i64>(row, 2), rows.get::<i64>(row, 9))
            else {
                break;
            };
            let place = place as usize;
            if flag(row, 3) && !sabotage::removed(Guard::RequestId) {
                own.push((token, place));
                continue;
            }
            let lock = &locks[place];
            let line = match flag(row, 10) {
                true => lock.work_line(cluster),
                false => lock.line(cluster),
            };
            let blocker = Blocker::read(token, rows, row);
            others.push(Obstacle { blocker, line });
        }
        if own.len() == locks.len() {
            let tokens = own.into_iter().map(|(token, _)| token);
            return Ok(Obstacles::HeldByRequest(tokens.collect()));
        }
        if flag(0, 1) {
            return Err(Error::LeaseExpired(service_id));
        }
        if let Some((_, place)) = own.first() {
            return Err(used_before(*place));
        }
        Ok(match others.is_empty() {
            true => Obstacles::Gone,
            false => Obstacles::Held(others),
        })
    }
}

/// Neither taking the rest nor the refusal of the whole would be true: the request holds a part.
fn used_before(place: usize) -> Error {
    Error::invalid(
        "request_id",
        format!("has got locks[{place}] before, but not all of these locks"),
        "A request id is for one list of locks: release what it got, then ask with a new one.",
    )
}
