//! The time as a number: since the start of 2025 (UTC), in units of 2^-22 s.
//!
//! Four units are about a microsecond: no database draws that many numbers for long. Until the year 2093 the number is
//! smaller than 2^53, which a JavaScript number holds exactly.

use pgrx::pg_sys::{self, TimestampTz};
use std::cell::Cell;

/// So many units are a second.
pub const SECOND: i64 = 1 << 22;

/// The sequence is moved when it is further behind the clock than this.
const MOST_BEHIND: i64 = SECOND;

/// A sequence further ahead than this is worth a warning: a new place explains 16 s of it.
const MOST_AHEAD: i64 = 60 * SECOND;

/// The start of 2025 as Postgres counts: in microseconds since the start of 2000.
const EPOCH: TimestampTz = 9_132 * 86_400 * MICROSECONDS;
const MICROSECONDS: i64 = 1_000_000;

thread_local! {
    /// The time of the backend's last warning.
    static WARNED_AT: Cell<Option<i64>> = const { Cell::new(None) };
}

/// The time. Zero before 2025.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    units(unsafe { pg_sys::GetCurrentTimestamp() })
}

fn units(time: TimestampTz) -> i64 {
    let since = (time - EPOCH).max(0);
    since / MICROSECONDS * SECOND + since % MICROSECONDS * SECOND / MICROSECONDS
}

/// Whether the sequence, which stands at `number`, must be moved.
pub fn is_behind(number: i64, now: i64) -> bool {
    number < now - MOST_BEHIND
}

/// Warns if the sequence is far ahead of the clock, once a minute in a backend.
pub fn warn_if_ahead(number: i64, now: i64) {
    if number <= now + MOST_AHEAD {
        return;
    }
    let lately = WARNED_AT.get().is_some_and(|at| (at..at + 60 * SECOND).contains(&now));
    if !lately {
        WARNED_AT.set(Some(now));
        let seconds = (number - now) / SECOND;
        pgrx::warning!(
            "volguard: tokens and ids are {seconds} s ahead of the server's clock: the clock is behind, or was ahead"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{EPOCH, MICROSECONDS, SECOND, units};

    #[test]
    fn a_number_is_the_time_with_its_fraction() {
        assert_eq!(units(EPOCH), 0);
        assert_eq!(units(EPOCH - 1), 0);
        assert_eq!(units(EPOCH + 7 * MICROSECONDS), 7 * SECOND);
        assert_eq!(units(EPOCH + 7 * MICROSECONDS + 250_000), 7 * SECOND + SECOND / 4);
        assert!(units(EPOCH + 1) > units(EPOCH));
    }

    #[test]
    fn it_is_exact_in_javascript_until_2093() {
        let days_until_2093 = 24_837;
        assert!(units(EPOCH + days_until_2093 * 86_400 * MICROSECONDS) < 1 << 53);
    }
}
