//! The database's side of a history that has to survive a fail-over: a table that triggers fill.
//!
//! The log of a server can't be decoded on the standby that takes over. A table is replicated as all others: what
//! the last primary has of it is what has survived. The order is that of the commits, by their times on one machine.

use std::collections::HashSet;

use anyhow::Context;

use super::{Change, Entry};
use crate::scenario::Sql;

/// Makes a database of a server with `track_commit_timestamp = on` keep its journal from now on, and adds the table
/// `app.resources` to write to. Needs a superuser and a database that is set up for scenarios.
pub const SETUP: &str = include_str!("replicated.sql");

const READ: &str = "SELECT transaction, pg_xact_commit_timestamp(xmin), change FROM app.changes
    ORDER BY pg_xact_commit_timestamp(xmin), transaction, number";

/// Reads the journal. Needs a superuser.
///
/// # Errors
/// An error of the server, or a change that makes no sense.
pub async fn read(sql: &Sql) -> anyhow::Result<Vec<Entry>> {
    let mut journal: Vec<Entry> = Vec::new();
    let mut ended = HashSet::new();
    for row in sql.rows(READ).await? {
        let [xid, at, change] = row.try_into().ok().context("three columns")?;
        let change = change.context("NULL")?;
        let change: Change = serde_json::from_str(&change).with_context(|| change.clone())?;
        // A service that is removed after it was fenced has ended before.
        if let Change::Ended { service } = change
            && !ended.insert(service)
        {
            continue;
        }
        journal.push(Entry {
            turn: journal.len() as u64 + 1,
            xid: xid.unwrap_or_default(),
            at: at.unwrap_or_default(),
            change,
        });
    }
    Ok(journal)
}
