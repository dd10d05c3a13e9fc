//! Cleanup by itself: what the background worker does at each tick, and a client's janitor from time to time.

use super::round::Round;
use super::selection::Selection;
use super::tally::CleanedRow;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::settings;
use crate::pg::spi::arg;
use pgrx::iter::TableIterator;
use pgrx::pg_extern;

/// Cleans up after the services that are due, of one cluster or of all. Nothing while `volguard.auto_cleanup` is off.
pub fn clean_due(cluster: Option<&str>) -> Result<Round, Error> {
    if !settings::auto_cleanup() {
        return Ok(Round::default());
    }
    Round::run(&Selection { cluster: cluster.and_then(arg), unattended: true, ..Selection::default() })
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "pgrx takes no alias here")]
fn auto_cleanup(
    cluster: Option<&str>,
) -> TableIterator<'static, (Option<i64>, Option<String>, Option<String>, &'static str, i64, i64, i64, i64)> {
    let cleaned: Vec<CleanedRow> = verb(Vec::new(), || {
        if cluster.is_some() {
            argument::name("cluster", cluster)?;
        }
        Ok(clean_due(cluster)?.into_rows())
    });
    TableIterator::new(cleaned)
}

export! {
    volguard_auto_cleanup, pg_finfo_volguard_auto_cleanup => auto_cleanup_wrapper;
}
