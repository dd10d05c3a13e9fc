//! Numbers that never come back: fencing tokens and service ids.
//!
//! A token is `(restores << 56) + (WAL timeline << 44) | counter`, where nearly every database has been restored from a dump
//! zero times.
//!
//! The counter of a token is a sequence, drawn while its key is held, so each acquisition of a
//! key has a larger one than the acquisitions before. A sequence can fall behind in one case: a standby that lags is
//! promoted. Then the timeline is a new one, and it stands above the counter. A dump forgets the timeline, and what was drawn after
//! it was taken; therefore the number of restores stands above the timeline.
//!
//! A service id must not return either: a zombie whose registration a fail-over lost would heartbeat as somebody else.
//! Its upper bits count the timelines from the first, so that ids stay small for people until there was a fail-over.

use super::lineage;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;

/// Bits of the counter: 17 million million acquisitions a timeline.
const COUNTER_BITS: u32 = 44;

/// Bits of the timeline: 4095 of them between two restores. Seven bits are left for these.
const TIMELINE_BITS: u32 = 12;

/// The upper bits of a token that is drawn now. Only where one is: in a database's first use it writes down where that lives.
pub fn epoch() -> Result<i64, Error> {
    Ok(upper(lineage::restores()?, timeline()))
}

fn upper(restores: i64, timeline: u32) -> i64 {
    ((restores << TIMELINE_BITS) + i64::from(timeline)) << COUNTER_BITS
}

/// A new token. Only for a key that is headed and free: a refusal writes nothing.
pub fn draw(tables: &Tables) -> Result<i64, Error> {
    let epoch = epoch()?;
    let counter = tables.token_counter;
    // SAFETY: a sequence of ours, so nobody needs a privilege on it; the closure owns nothing.
    let drawn = unsafe { catching(|| raw::nextval_internal(counter, false))? };
    Ok(epoch | drawn)
}

/// The upper bits of a service id that is drawn now.
pub fn service_epoch() -> Result<i64, Error> {
    Ok(upper(lineage::restores()?, timeline().saturating_sub(1)))
}

fn timeline() -> u32 {
    // SAFETY: reads shared memory; in recovery it gives the timeline that will not be written to, and the insert fails.
    unsafe { pg_sys::GetWALInsertionTimeLine() }
}

/// Makes the transaction's commit wait for the disk, whatever `synchronous_commit` says: a number that somebody has seen
/// must not be drawn a second time after a crash.
pub fn make_durable() {
    if sabotage::removed(Guard::Durable) {
        return;
    }
    // SAFETY: sets a flag of the running transaction.
    unsafe { pg_sys::ForceSyncCommit() };
}

#[cfg(test)]
mod tests {
    use super::upper;

    #[test]
    fn restores_come_before_timelines_before_counts() {
        let last = (1_i64 << 44) - 1;
        assert_eq!(upper(0, 1), 1 << 44);
        assert!(upper(0, 2) > upper(0, 1) | last);
        assert!(upper(1, 1) > upper(0, 4095) | last);
        assert!(upper(127, 4095) | last > upper(126, 4095) | last);
    }
}
