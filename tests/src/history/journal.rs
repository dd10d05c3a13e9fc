//! The database's side of a history.

use anyhow::{Context, bail};

use super::{Change, Entry};
use crate::scenario::Sql;

/// Makes a database keep a journal, and adds the table `app.resources` whose writes it notes. For a superuser, in a database
/// that has been furnished for scenarios.
pub const SETUP: &str = include_str!("journal.sql");

const READ: &str = "SELECT turn, xid, at, by, change, key, token, service, request, version, dead
                    FROM history.journal ORDER BY turn";

/// Reads the journal. For a superuser.
///
/// # Errors
/// The server's; for an entry that makes no sense.
pub async fn read(sql: &Sql) -> anyhow::Result<Vec<Entry>> {
    let rows = sql.rows(READ).await?;
    rows.into_iter()
        .map(|row| entry(&row).with_context(|| format!("{row:?}")))
        .collect()
}

fn entry(row: &[Option<String>]) -> anyhow::Result<Entry> {
    let text = |column: usize| row[column].clone().context("NULL");
    let number = |column: usize| anyhow::Ok(text(column)?.parse::<i64>()?);
    let change = match &*text(4)? {
        "taken" => Change::Taken {
            key: text(5)?,
            token: number(6)?,
            service: number(7)?,
            request: text(8)?.parse()?,
        },
        "freed" => Change::Freed {
            key: text(5)?,
            token: number(6)?,
            dead: text(10)? == "t",
        },
        "wrote" => Change::Wrote {
            key: text(5)?,
            token: number(6)?,
            write: text(8)?.parse()?,
            version: number(9)?,
        },
        "fenced" => Change::Fenced {
            service: number(7)?,
        },
        other => bail!("no such change: {other}"),
    };
    Ok(Entry {
        turn: number(0)?,
        xid: text(1)?,
        at: text(2)?,
        by: text(3)?,
        change,
    })
}
