//! The invariants, checked on the files and against the database when all is over.
//!
//! What is checked is plain data ([`Ledger`], [`Shelf`]), so that each check can be shown something wrong.

mod attachments;
mod journal;
mod ledger;
mod settled;
mod shelf;
mod sizes;

pub use ledger::Ledger;
pub use shelf::Shelf;

/// One invariant: how much was looked at, and where it does not hold.
#[derive(Clone, Debug)]
pub struct Check {
    pub invariant: &'static str,
    pub examined: usize,
    pub violations: Vec<String>,
}

impl Check {
    pub fn new(invariant: &'static str) -> Check {
        Check {
            invariant,
            examined: 0,
            violations: Vec::new(),
        }
    }

    /// Looks at one more thing.
    pub fn demand(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.examined += 1;
        if !holds {
            self.violations.push(otherwise());
        }
    }
}

/// Everything that files and database can show.
pub fn all(ledger: &Ledger, shelf: &Shelf) -> Vec<Check> {
    let mut checks = journal::check(ledger, shelf);
    checks.extend([
        settled::check(ledger),
        sizes::of_volumes(ledger, shelf),
        sizes::of_snapshots(ledger, shelf),
        sizes::no_leftovers(ledger, shelf),
        attachments::check(ledger, shelf),
    ]);
    checks
}
