//! Numbers that never come back: tokens, service ids and event ids, all from one sequence.
//!
//! The sequence `clock` is a hybrid logical clock: it counts up, and is moved to the time ([`clock`]) whenever it is
//! more than a second behind it ([`mover`]). So a number that is drawn now is larger than those that were drawn
//! anywhere before, also where the sequence itself has forgotten them: after promotions that know nothing of each
//! other, DROP EXTENSION, a restored dump, a copy whose sequences were left out, or a machine that was put back.
//!
//! Against a clock that is behind, the first draw in a new place ([`place`]) leaves a gap.

mod clock;
mod mover;
mod place;

use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::{lookup_locks, syscache};
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Oid, SysCacheIdentifier};
use place::Place;

/// How often to draw again. A value can be behind after a move if the backend had taken it in advance, while the
/// sequence had a larger CACHE, or if the process stood still between the move and the draw.
const MOST_REDRAWS: usize = 3;

/// The largest number that a JavaScript number holds exactly, as are all before it.
const MOST: i64 = (1 << 53) - 1;

/// The SQLSTATE of a sequence that is at its end.
const LIMIT_EXCEEDED: [u8; 5] = *b"2200H";

/// A new number, larger than all before. For a token only with a free key, as head of its queue: a refusal writes
/// nothing.
pub fn draw(tables: &Tables) -> Result<i64, Error> {
    let sequence = tables.clock;
    lock(sequence)?;
    let here = Place::of(sequence);
    // Before the draw: a value from before the move into a new place is not behind where the clock is wrong.
    if !place::is_known(here)? {
        mover::enter(tables, here)?;
    }
    for _ in 0..=MOST_REDRAWS {
        let drawn = next(sequence)?;
        let now = clock::now();
        if !clock::is_behind(drawn, now) || sabotage::removed(Guard::Clock) {
            clock::warn_if_ahead(drawn, now);
            return Ok(drawn);
        }
        mover::catch_up(tables)?;
    }
    Err(Error::ClockBehind)
}

/// The sequence's next value. Postgres would keep the lock on the sequence until the transaction's end, also after the
/// rollback of a subtransaction: a call that draws for a cleanup, undoes that and sleeps would keep it. It goes to the
/// owner of what is running now instead, as that of [`lock`] does, which is taken at each draw.
fn next(sequence: Oid) -> Result<i64, Error> {
    // SAFETY: a sequence of ours, for which no privilege is checked; the closure owns nothing. The variable is put back
    // whether the call raises or not.
    unsafe {
        let top = pg_sys::TopTransactionResourceOwner;
        pg_sys::TopTransactionResourceOwner = pg_sys::CurrentResourceOwner;
        let drawn = catching(|| raw::nextval_internal(sequence, false));
        pg_sys::TopTransactionResourceOwner = top;
        match drawn {
            Err(Error::Postgres(error)) if error.sqlstate() == LIMIT_EXCEEDED => Err(Error::SequenceExhausted),
            drawn => drawn,
        }
    }
}

/// A new id of a service or an event. The locks on tables that a draw takes are given back.
pub fn draw_id() -> Result<i64, Error> {
    lookup_locks::given_back(|| draw(&Tables::open()?))
}

/// As [`draw`], as many as there are `items`, in rising order.
pub fn draw_for<T>(tables: &Tables, items: &[T]) -> Result<Vec<i64>, Error> {
    items.iter().map(|_| draw(tables)).collect()
}

/// Locks the sequence as a draw does, and refuses one from which a backend would take values in advance: those would be
/// smaller than what other backends draw meanwhile. Or one that begins anew at its end.
fn lock(sequence: Oid) -> Result<(), Error> {
    // SAFETY: locks by the oid; the closure owns nothing.
    unsafe {
        catching(|| raw::LockRelationOid(sequence, pg_sys::RowExclusiveLock as i32))?;
    }
    let as_made =
        |options: &Options| options.cache == 1 && options.increment == 1 && options.most == MOST && !options.cycles;
    // SAFETY: the cache of pg_sequence.
    match unsafe { syscache::row(SysCacheIdentifier::SEQRELID, sequence, as_made) } {
        Some(true) => Ok(()),
        Some(false) => Err(Error::SequenceAltered),
        None => Err(Error::NotInstalled),
    }
}

/// `catalog/pg_sequence.h`, which pgrx doesn't bind.
#[repr(C)]
struct Options {
    relation: Oid,
    of_type: Oid,
    start: i64,
    increment: i64,
    most: i64,
    least: i64,
    cache: i64,
    cycles: bool,
}
