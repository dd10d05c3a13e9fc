//! Numbers that never come back: fencing tokens and service ids.
//!
//! A token is `(restores << 56) + (WAL timeline << 44) | counter`. Most databases were never restored from a dump: then
//! the number of restores is zero.
//!
//! The counter is a sequence, drawn while the key is held, so that each acquisition of a key has a larger one than
//! those before. A sequence can fall behind when a standby that lags is promoted. Then the timeline is a new one, in
//! the bits above the counter. A dump knows neither the timeline nor the tokens that were drawn after it; therefore the
//! number of restores is in the bits above the timeline.
//!
//! A service id must not come back either: after a fail-over that lost its registration, a process would renew the
//! lease of another one. The upper bits of an id count the timelines from the first, so that ids are small until a
//! fail-over.

use super::lineage;
use super::tables::Tables;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys;

/// Bits of the counter: 17 million million acquisitions per timeline.
const COUNTER_BITS: u32 = 44;

/// Bits of the timeline: 4095 timelines between two restores. Seven bits are left for the restores.
const TIMELINE_BITS: u32 = 12;

/// The upper bits of a token that is drawn now. Only for a draw: in a new place it writes the lineage.
pub fn epoch() -> Result<i64, Error> {
    Ok(upper(lineage::restores()?, timeline()))
}

fn upper(restores: i64, timeline: u32) -> i64 {
    ((restores << TIMELINE_BITS) + i64::from(timeline)) << COUNTER_BITS
}

/// A new token. Only for a free key, as head of its queue: a refusal writes nothing.
pub fn draw(tables: &Tables) -> Result<i64, Error> {
    let epoch = epoch()?;
    let counter = tables.token_counter;
    // SAFETY: a sequence of ours, for which no privilege is checked; the closure owns nothing.
    let drawn = unsafe { catching(|| raw::nextval_internal(counter, false))? };
    Ok(epoch | drawn)
}

/// The upper bits of a service id that is drawn now.
pub fn service_epoch() -> Result<i64, Error> {
    Ok(upper(lineage::restores()?, timeline().saturating_sub(1)))
}

fn timeline() -> u32 {
    // SAFETY: reads shared memory. In recovery the timeline is one that is not written to, and the insert fails.
    unsafe { pg_sys::GetWALInsertionTimeLine() }
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
