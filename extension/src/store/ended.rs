//! Submitted work that ends: its request id is remembered, so that a repeated submit does not begin it again.

use super::sql;
use crate::pg::error::Error;
use crate::pg::settings;
use crate::pg::spi::{arg, transaction_snapshot_only};

/// How many old requests each new one removes at the most: more than have come.
const TRIM_AT_ONCE: i32 = 2;

/// A cleanup removes more at once.
const TRIM_BY_CLEANUP: i32 = 1000;

/// How work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finished,
    Cancelled,
    /// By its crash rule, or because its resource had moved on when the rule was to run.
    Crashed,
    /// By `finish_cleanup`.
    Cleaned,
    Reset,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Ending::Finished => "finished",
            Ending::Cancelled => "cancelled",
            Ending::Crashed => "crashed",
            Ending::Cleaned => "cleaned",
            Ending::Reset => "reset",
        }
    }
}

/// Remembers the request ids of work. To be called before its rows, those of the tokens, are deleted.
pub fn note(tokens: &[i64], ending: Ending) -> Result<(), Error> {
    if sql::END_REQUESTS.count(&[arg(tokens.to_vec()), arg(ending.name())])? == 0 {
        return Ok(());
    }
    remove_oldest(TRIM_AT_ONCE)
}

/// Forgets what ended longer ago than `volguard.request_retention`, for cleanups: also where no work ends.
pub fn trim() -> Result<(), Error> {
    remove_oldest(TRIM_BY_CLEANUP)
}

fn remove_oldest(most: i32) -> Result<(), Error> {
    // On one snapshot, a row that another transaction has just removed would be a serialization failure.
    if transaction_snapshot_only() {
        return Ok(());
    }
    sql::TRIM_REQUESTS.count(&[arg(settings::request_retention_s()), arg(most)]).map(drop)
}
