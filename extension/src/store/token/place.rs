//! Where the sequence lives. In a new place it may not know what was drawn last: it comes from a dump, a template, a
//! server that was left behind, or was created anew.
//!
//! A second sequence, `place`, remembers the last place. It is a sequence and not a row because a sequence is set at
//! once and for good, whether the transaction commits or not. So all sessions agree on it, and no session waits for
//! another one's transaction.

use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use xxhash_rust::xxh3::Xxh3;

/// What makes a place, read from shared memory: a session that was open before a promotion sees the new timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    cluster: u64,
    timeline: u32,
    database: Oid,
    sequence: Oid,
}

thread_local! {
    /// The place that the backend knows to be remembered.
    static KNOWN: Cell<Option<Place>> = const { Cell::new(None) };
}

impl Place {
    /// The place of the sequence `clock`. Not in recovery.
    pub fn of(sequence: Oid) -> Self {
        // SAFETY: plain reads of shared memory and of a variable of the backend.
        unsafe {
            Place {
                cluster: pg_sys::GetSystemIdentifier(),
                timeline: pg_sys::GetWALInsertionTimeLine(),
                database: pg_sys::MyDatabaseId,
                sequence,
            }
        }
    }

    /// What the sequence `place` remembers. Never zero, which is that of a new installation.
    fn fingerprint(self) -> i64 {
        let mut hash = Xxh3::new();
        hash.update(&self.cluster.to_le_bytes());
        hash.update(&self.timeline.to_le_bytes());
        hash.update(&self.database.to_u32().to_le_bytes());
        hash.update(&self.sequence.to_u32().to_le_bytes());
        (hash.digest() >> 1).cast_signed().max(1)
    }
}

/// Whether the sequence was moved into this place already. A statement for the first draw of a backend, a comparison
/// for all others.
pub fn is_known(here: Place) -> Result<bool, Error> {
    if KNOWN.get() == Some(here) || sabotage::removed(Guard::Place) {
        return Ok(true);
    }
    let remembered = sql::PLACE.run(&[], |rows| rows.get(0, 0))? == Some(here.fingerprint());
    if remembered {
        KNOWN.set(Some(here));
    }
    Ok(remembered)
}

/// Remembers the place, for all sessions. Only after the move.
pub fn remember(here: Place) -> Result<(), Error> {
    sql::SET_PLACE.count(&[arg(here.fingerprint())])?;
    KNOWN.set(Some(here));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Place;
    use pgrx::pg_sys::Oid;

    #[test]
    fn every_part_of_the_place_counts() {
        let place = |cluster, timeline, database, sequence| {
            let (database, sequence) = (Oid::from(database), Oid::from(sequence));
            Place { cluster, timeline, database, sequence }.fingerprint()
        };
        let here = place(7, 1, 5, 16_400);
        for there in [place(8, 1, 5, 16_400), place(7, 2, 5, 16_400), place(7, 1, 6, 16_400), place(7, 1, 5, 16_401)] {
            assert_ne!(here, there);
            assert!(there > 0);
        }
        assert_eq!(here, place(7, 1, 5, 16_400));
    }
}
