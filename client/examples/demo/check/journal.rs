//! Who was inside the volumes, and in which order.

use std::collections::HashMap;

use super::{Check, Ledger, Shelf};
use crate::storage::{Mark, Record};

/// The checks on one volume's journal after the other.
struct Journals<'a> {
    fenced_at: &'a HashMap<i64, i64>,
    alone: Check,
    growing: Check,
    ended: Check,
}

/// Everything that journals alone can show, and that the database's book agrees with them.
pub(super) fn check(ledger: &Ledger, shelf: &Shelf) -> Vec<Check> {
    let mut journals = Journals {
        fenced_at: &ledger.fenced_at,
        alone: Check::new("no two managers inside one volume"),
        growing: Check::new("no token goes backwards"),
        ended: Check::new("what was begun was ended, or cut off by a fence and repaired"),
    };
    for (volume, records) in &shelf.journals {
        let name = ledger
            .volumes
            .get(volume)
            .map_or_else(|| volume.to_string(), |row| row.name.clone());
        journals.examine(&name, records);
    }
    let Journals {
        alone,
        growing,
        ended,
        ..
    } = journals;
    vec![alone, growing, ended, agreement(ledger, shelf)]
}

impl Journals<'_> {
    fn examine(&mut self, volume: &str, records: &[Option<Record>]) {
        let mut inside: Option<&Record> = None;
        let mut newest = i64::MIN;
        for record in records {
            let Some(record) = record else {
                self.growing
                    .demand(false, || format!("{volume}: a broken record"));
                continue;
            };
            // A begin needs a token of its own, everything else that of its begin.
            let grows = match record.mark {
                Mark::Begin => record.token > newest,
                Mark::Write | Mark::End => record.token >= newest,
            };
            self.growing.demand(grows, || {
                format!("{volume}: `{record}` after token {newest}")
            });
            newest = newest.max(record.token);
            match record.mark {
                Mark::Begin => {
                    self.enter(volume, inside, record);
                    inside = Some(record);
                }
                Mark::Write | Mark::End => {
                    let own = inside.is_some_and(|begin| belongs(record, begin));
                    self.alone.demand(own, || {
                        format!("{volume}: `{record}` by one who is not inside")
                    });
                    if own && record.mark == Mark::End {
                        self.ended.demand(true, String::new);
                        inside = None;
                    }
                }
            }
        }
        if let Some(begin) = inside {
            self.ended.demand(false, || {
                format!("{volume}: `{begin}` was never ended nor repaired")
            });
        }
    }

    /// Whoever enters finds nobody inside, or one who was fenced before.
    fn enter(&mut self, volume: &str, inside: Option<&Record>, begin: &Record) {
        let Some(earlier) = inside else {
            self.alone.demand(true, String::new);
            return;
        };
        let fenced_at = self.fenced_at.get(&earlier.service_id);
        let fenced_before = fenced_at.is_some_and(|at| *at <= begin.at);
        self.alone.demand(fenced_before, || {
            format!("{volume}: `{begin}` while `{earlier}` was inside and not fenced")
        });
        self.ended.demand(fenced_before, || {
            format!("{volume}: `{earlier}` was not ended by a service that was not fenced")
        });
    }
}

fn belongs(record: &Record, begin: &Record) -> bool {
    (record.token, record.service_id, record.operation)
        == (begin.token, begin.service_id, begin.operation)
}

/// What the database calls done was ended on the storage under the very token that it was closed with.
fn agreement(ledger: &Ledger, shelf: &Shelf) -> Check {
    let mut check = Check::new("done in the database = ended in the journal, by the same token");
    for request in &ledger.requests {
        let operation = match request.state.as_str() {
            "done" => request.operation,
            "failed" => request.operation.remedy(),
            _ => continue,
        };
        let journal = shelf.journals.get(&request.volume);
        let ended = journal.into_iter().flatten().flatten().any(|record| {
            record.mark == Mark::End
                && record.operation == operation
                && Some(record.token) == request.token
        });
        check.demand(ended, || {
            format!(
                "request {}: {operation} by token {:?} is not in the journal",
                request.id, request.token
            )
        });
    }
    check
}

#[cfg(test)]
mod tests;
