//! The work of dead services, one kind at a time: one status of one type of resource.

use crate::pg::error::Error;
use crate::pg::spi::{Rows, arg};
use crate::store::ended::{self, Ending};
use crate::store::{removal, sql};
use std::collections::HashMap;

/// One status of one type of resource. What belongs to one kind is repaired by one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkKind {
    pub resource_type: String,
    pub status: String,
}

/// A row of `workers` with a status, left by a dead service, or to be taken from a living one.
#[derive(Debug)]
pub struct WorkItem {
    pub token: i64,
    pub service_id: i64,
    pub resource_id: String,
    /// An earlier call has left it.
    pub waited: bool,
    /// A rule has failed on it then.
    pub failed_before: bool,
    /// It was never tried, or its next try is due.
    pub due: bool,
    pub submitted: bool,
    /// Read by the statements that a process runs: see [`Holder`].
    pub holder: Holder,
}

/// Who has the work, as far as a repair has to know.
#[derive(Debug, Default)]
pub struct Holder {
    /// The role that registered the service.
    pub role: String,
    /// The service is not fenced.
    pub is_unfenced: bool,
    pub lock_name: String,
    pub cluster: String,
}

/// Items by their kinds, in the order of the rows; the kinds in that of their first rows.
pub type Work = Vec<(WorkKind, Vec<WorkItem>)>;

/// Reads the columns of a work item.
pub fn read(rows: &Rows) -> Work {
    read_with(rows, |_| Holder::default())
}

/// The same, with those of its holder.
pub fn read_held(rows: &Rows) -> Work {
    read_with(rows, |row| {
        let name = |column| rows.get::<String>(row, column).unwrap_or_default();
        Holder { role: name(9), is_unfenced: rows.get(row, 10) == Some(true), lock_name: name(11), cluster: name(12) }
    })
}

fn read_with(rows: &Rows, holder: impl Fn(usize) -> Holder) -> Work {
    let mut work = Work::new();
    let mut places = HashMap::new();
    for row in 0..rows.len() {
        let name = |column| rows.get::<String>(row, column).unwrap_or_default();
        let kind = WorkKind { resource_type: name(1), status: name(3) };
        let place = *places.entry(kind.clone()).or_insert(work.len());
        if place == work.len() {
            work.push((kind, Vec::new()));
        }
        work[place].1.push(WorkItem {
            token: rows.get(row, 0).unwrap_or_default(),
            service_id: rows.get(row, 4).unwrap_or_default(),
            resource_id: name(2),
            waited: rows.get(row, 5).unwrap_or_default(),
            failed_before: rows.get(row, 6).unwrap_or_default(),
            due: rows.get(row, 7).unwrap_or_default(),
            submitted: rows.get(row, 8).unwrap_or_default(),
            holder: holder(row),
        });
    }
    work
}

/// The items of one kind.
pub fn only(work: Work, kind: &WorkKind) -> Vec<WorkItem> {
    work.into_iter().filter(|(found, _)| found == kind).flat_map(|(_, items)| items).collect()
}

/// Removes the rows of items.
pub fn remove<'i>(items: impl IntoIterator<Item = &'i WorkItem>) -> Result<(), Error> {
    let (mut tokens, mut submitted) = (Vec::new(), Vec::new());
    for item in items {
        tokens.push(item.token);
        submitted.extend(item.submitted.then_some(item.token));
    }
    if !submitted.is_empty() {
        ended::note(&submitted, Ending::Crashed)?;
    }
    removal::remove(&sql::REMOVE_WORK, &[arg(tokens)])?;
    Ok(())
}
