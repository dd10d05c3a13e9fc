//! What was submitted, and what became of it: as the API was told, and as the database has announced it.

use std::collections::BTreeMap;

use super::Request;
use crate::notice::Notice;
use crate::operation::Operation;

/// Each piece of work by its request.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pieces: BTreeMap<i64, (Operation, Option<Ending>)>,
    /// What refusals were for.
    pub reasons: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Refused,
    Done,
    /// Its crash rule was applied.
    RolledBack,
    Cancelled,
}

impl Ending {
    const ALL: [Ending; 4] = [Ending::Done, Ending::Refused, Ending::RolledBack, Ending::Cancelled];

    fn of(notice: &Notice) -> Ending {
        match &*notice.by {
            _ if notice.crashed => Ending::RolledBack,
            "api" => Ending::Cancelled,
            _ => Ending::Done,
        }
    }
}

impl Tally {
    pub(super) fn submit(&mut self, request: &Request) {
        self.pieces.insert(request.id, (request.operation, None));
    }

    pub(super) fn refuse(&mut self, request: &Request, reasons: Vec<String>) {
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.end(request, Ending::Refused);
    }

    pub(super) fn end(&mut self, request: &Request, ending: Ending) {
        self.pieces.insert(request.id, (request.operation, Some(ending)));
    }

    pub fn submitted(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// For each operation how much was submitted, and how much has ended in each way, in the order of [`Ending::ALL`].
    pub fn table(&self) -> BTreeMap<Operation, [u64; 5]> {
        let mut table = BTreeMap::<Operation, [u64; 5]>::new();
        for (operation, ending) in self.pieces.values() {
            let counts = table.entry(*operation).or_default();
            counts[0] += 1;
            let column = ending.and_then(|ending| Ending::ALL.iter().position(|one| *one == ending));
            column.into_iter().for_each(|column| counts[column + 1] += 1);
        }
        table
    }

    /// Submitted = done + refused + rolled back + cancelled, each exactly once: what contradicts that in what the
    /// database has announced.
    pub fn mistakes(&self, notices: &[Notice]) -> Vec<String> {
        let mut announced = BTreeMap::<i64, Vec<Ending>>::new();
        for end in notices.iter().filter(|notice| notice.is_end()) {
            announced.entry(end.request).or_default().push(Ending::of(end));
        }
        let mut mistakes = Vec::new();
        for (request, (operation, ending)) in &self.pieces {
            let ends = announced.remove(request).unwrap_or_default();
            let expected: Vec<Ending> = ending.iter().copied().filter(|ending| *ending != Ending::Refused).collect();
            if ending.is_none() || ends != expected {
                let told = ending.map_or("without an end".to_owned(), |ending| format!("{ending:?}"));
                mistakes.push(format!("{operation} of request {request}: {told}, announced as {ends:?}"));
            }
        }
        mistakes.extend(announced.keys().map(|request| format!("request {request} has ended, and was not submitted")));
        mistakes
    }
}
