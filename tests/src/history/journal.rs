//! The database's side of a history: its log, decoded.
//!
//! Transactions come in the order of their commits, which is the order in which they took
//! effect. Nothing is added to the tables, so the tested code takes its usual paths.

use std::collections::HashSet;

use anyhow::{Context, bail};

use super::{Change, Entry, Piece};
use crate::scenario::Sql;

/// Makes a database of a server with `wal_level = logical` keep its journal from now on, and adds the tables
/// `app.resources` to write to, and `app.jobs` to work on. Needs a superuser and a database that is set up for
/// scenarios.
pub const SETUP: [&str; 2] = [
    "CREATE TABLE app.resources (id text PRIMARY KEY, version bigint NOT NULL DEFAULT 0, token bigint, write uuid);
     CREATE TABLE app.jobs (id text PRIMARY KEY, status text NOT NULL DEFAULT 'idle', request uuid, how text);
     ALTER TABLE app.resources OWNER TO manager;
     ALTER TABLE app.jobs OWNER TO manager;
     ALTER TABLE volguard.workers REPLICA IDENTITY FULL;",
    // In a transaction of its own.
    "SELECT FROM pg_create_logical_replication_slot('history', 'test_decoding')",
];

/// The type of the resources of work.
pub(crate) const JOB: &str = "job";

const READ: &str = "SELECT data FROM pg_logical_slot_peek_changes('history', NULL, NULL, 'include-timestamp', 'on')";

/// Reads the journal. Needs a superuser.
///
/// # Errors
/// An error of the server, or a change that makes no sense.
pub async fn read(sql: &Sql) -> anyhow::Result<Vec<Entry>> {
    let mut reader = Reader::default();
    for row in sql.rows(READ).await? {
        let line = row.into_iter().next().flatten().context("NULL")?;
        reader.take(&line).with_context(|| line.clone())?;
    }
    Ok(reader.journal)
}

#[derive(Default)]
struct Reader {
    journal: Vec<Entry>,
    /// The first change of the current transaction.
    begun: usize,
    ended: HashSet<i64>,
}

impl Reader {
    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        if line.starts_with("BEGIN ") {
            self.begun = self.journal.len();
        } else if let Some(commit) = line.strip_prefix("COMMIT ") {
            let (xid, at) = commit.split_once(" (at ").context("no time")?;
            for entry in &mut self.journal[self.begun..] {
                xid.clone_into(&mut entry.xid);
                at.trim_end_matches(')').clone_into(&mut entry.at);
            }
        } else if let Some(change) = self.change(line)? {
            self.journal.push(Entry {
                turn: self.journal.len() as u64 + 1,
                xid: String::new(),
                at: String::new(),
                change,
            });
        }
        Ok(())
    }

    fn change(&mut self, line: &str) -> anyhow::Result<Option<Change>> {
        let Some((table, row)) = line.strip_prefix("table ").and_then(|l| l.split_once(": ")) else {
            bail!("no such line");
        };
        let (verb, row) = row.split_once(": ").context("no verb")?;
        let row = row.split_once(" new-tuple: ").map_or(row, |(_, new)| new);
        let text = |column| field(row, column).with_context(|| format!("no {column}"));
        let number = |column| anyhow::Ok(text(column)?.parse::<i64>()?);
        let optional = |column| anyhow::Ok(Some(text(column)?).filter(|text| *text != "null"));
        let key = |column| anyhow::Ok(text(column)?.to_owned());
        if table == "volguard.workers" && text("resource_type")? == JOB {
            let (key, token) = (key("resource_id")?, number("token")?);
            return Ok(Some(match verb {
                "DELETE" => Change::WorkEnded { key, token },
                _ => Change::Work {
                    key,
                    piece: Piece {
                        work: number("work_id")?,
                        token,
                        service: optional("service_id")?.map(str::parse).transpose()?,
                        status: text("status")?.to_owned(),
                        attempt: number("attempt")?,
                        request: text("submit_request")?.parse()?,
                    },
                },
            }));
        }
        Ok(match (table, verb) {
            ("app.jobs", "UPDATE") => Some(Change::Status {
                key: key("id")?,
                status: text("status")?.to_owned(),
                request: text("request")?.parse()?,
                how: optional("how")?.map(|how| serde_json::from_value(how.into())).transpose()?,
            }),
            ("volguard.workers", "INSERT") => Some(Change::Taken {
                key: text("resource_id")?.to_owned(),
                token: number("token")?,
                service: number("service_id")?,
                request: text("request_id")?.parse()?,
            }),
            ("volguard.workers", "DELETE") => {
                Some(Change::Freed { key: text("resource_id")?.to_owned(), token: number("token")? })
            }
            ("volguard.services", "DELETE") => self.ended(number("service_id")?),
            ("volguard.services", "UPDATE") if text("fenced_at")? != "null" => self.ended(number("service_id")?),
            ("app.resources", "UPDATE") => Some(Change::Wrote {
                key: text("id")?.to_owned(),
                token: number("token")?,
                write: text("write")?.parse()?,
                version: number("version")?,
            }),
            // Registrations, heartbeats, changes of a status.
            _ => None,
        })
    }

    /// A fenced service that is changed again, or removed, has no meaning here.
    fn ended(&mut self, service: i64) -> Option<Change> {
        self.ended.insert(service).then_some(Change::Ended { service })
    }
}

/// The value of a column in `name[type]:value name[type]:'value'`. No value contains a quote.
fn field<'a>(row: &'a str, column: &str) -> Option<&'a str> {
    let start = row.find(&format!("{column}["))?;
    let (_, value) = row[start..].split_once("]:")?;
    match value.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next(),
        None => value.split(' ').next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 9] = [
        "BEGIN 741",
        "table volguard.workers: INSERT: cluster[text]:'default' resource_type[text]:'volume' resource_id[text]:'hot-1' lock_name[text]:'' token[bigint]:17592186044417 service_id[bigint]:3 status[text]:null request_id[uuid]:'bd5a60c4-1d7f-422d-8a1c-932a2626a834' acquired_at[timestamp with time zone]:'2026-11-22 15:01:08+00'",
        "COMMIT 741 (at 2026-11-22 15:01:08.1+00)",
        "BEGIN 742",
        "table volguard.services: UPDATE: service_id[bigint]:3 cluster[text]:'default' lease[interval]:'00:00:01.5' fenced_at[timestamp with time zone]:null",
        "COMMIT 742 (at 2026-11-22 15:01:08.2+00)",
        "BEGIN 743",
        "table volguard.services: UPDATE: service_id[bigint]:3 cluster[text]:'default' lease[interval]:'00:00:01.5' fenced_at[timestamp with time zone]:'2026-11-22 15:01:09+00'",
        "COMMIT 743 (at 2026-11-22 15:01:08.3+00)",
    ];

    #[test]
    fn decoded_changes_are_understood() -> anyhow::Result<()> {
        let mut reader = Reader::default();
        for line in LINES {
            reader.take(line)?;
        }
        let [taken, ended] = &reader.journal[..] else {
            bail!("{:?}", reader.journal);
        };
        let expected = Change::Taken {
            key: "hot-1".to_owned(),
            token: 17_592_186_044_417,
            service: 3,
            request: "bd5a60c4-1d7f-422d-8a1c-932a2626a834".parse()?,
        };
        assert_eq!((&taken.change, &*taken.xid), (&expected, "741"));
        assert_eq!(taken.at, "2026-11-22 15:01:08.1+00");
        assert_eq!(ended.change, Change::Ended { service: 3 });
        assert_eq!((ended.turn, &*ended.xid), (2, "743"));
        Ok(())
    }
}
