//! Moves the sequence forward: to the time, or into a new place. Of several sessions one moves it, the others find it
//! moved.
//!
//! A move is never backwards, nor less than a millisecond forward: it can't undo the draws of sessions that don't wait
//! for it, and at most four million of these are possible in a second.

use super::clock::{self, SECOND};
use super::place::{self, Place};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::index_scan::largest;
use crate::store::sql;
use crate::store::tables::Tables;
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::pg_sys;

/// How far the first draw in a new place goes beyond the time: by so much the clock may be behind there.
const AHEAD: i64 = 16 * SECOND;

/// How far it goes beyond a sequence that is even further ahead: then the clock is evidently wrong, and what was drawn
/// last elsewhere is not known.
const LEAP: i64 = 3600 * SECOND;

/// The least move: 2^-10 s.
const LEAST: i64 = SECOND >> 10;

/// Moves the sequence to the time, if it is behind.
pub fn catch_up(tables: &Tables) -> Result<(), Error> {
    under_lock(|| match (last_value()?, clock::now()) {
        (last, now) if clock::is_behind(last, now) => go(tables, now),
        _ => Ok(()),
    })
}

/// Moves the sequence into a new place, if no other session has done so. Then the place is remembered, so that a crash
/// between the two makes the next session move again.
pub fn enter(tables: &Tables, here: Place) -> Result<(), Error> {
    under_lock(|| {
        if place::is_known(here)? {
            return Ok(());
        }
        go(tables, first_in_new_place(last_value()?, clock::now()))?;
        place::remember(here)
    })
}

fn first_in_new_place(last: i64, now: i64) -> i64 {
    match now + AHEAD {
        enough if last > enough => last + LEAP,
        enough => enough.max(last + LEAST),
    }
}

/// The lock is held for the move alone, and nothing is waited for under it.
fn under_lock(body: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let lock = Tag::of_number(TagKind::Mover, 0);
    lock.lock(Mode::Exclusive)?;
    body()?;
    lock.unlock(Mode::Exclusive);
    Ok(())
}

fn last_value() -> Result<i64, Error> {
    sql::CLOCK.run(&[], |rows| rows.get(0, 0).unwrap_or(0))
}

/// Sets the sequence, also past all numbers in the tables, which may come from another place than the sequence. It is
/// set at once and for good; its record is written before that of any commit that uses a number.
fn go(tables: &Tables, to: i64) -> Result<(), Error> {
    sabotage::pause(Guard::Mover);
    sql::SET_CLOCK.count(&[arg(to.max(largest_in(tables)?))]).map(drop)
}

/// The largest number in the tables, also in rows that were deleted or rolled back. The events count if they can be
/// locked without a wait: a change of their table must not hold up the locks.
fn largest_in(tables: &Tables) -> Result<i64, Error> {
    let Tables { services, services_key, service_columns, workers, token_key, columns, .. } = *tables;
    let Tables { events, events_key, event_id, .. } = *tables;
    // SAFETY: the first two tables are locked, the third here; the columns are bigints, first in these indexes. The
    // closure owns nothing.
    let numbers = unsafe {
        catching(|| {
            let token = largest(workers, token_key, columns.token);
            let service = largest(services, services_key, service_columns[0]);
            let is_free = raw::ConditionalLockRelationOid(events, pg_sys::AccessShareLock as i32);
            let event = if is_free { largest(events, events_key, event_id) } else { None };
            [token, service, event]
        })?
    };
    Ok(numbers.into_iter().flatten().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, LEAP, LEAST, first_in_new_place};

    #[test]
    fn a_new_place_begins_beyond_the_time_and_the_sequence() {
        let now = 1 << 50;
        assert_eq!(first_in_new_place(1, now), now + AHEAD);
        assert_eq!(first_in_new_place(now + AHEAD, now), now + AHEAD + LEAST);
        assert_eq!(first_in_new_place(now + AHEAD + 1, now), now + AHEAD + 1 + LEAP);
    }
}
