//! What was asked for, and what of it was refused.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::operation::Operation;

#[derive(Debug, Default)]
pub struct Tally {
    book: Mutex<Book>,
    /// Operations that are over: refused or closed.
    over: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    total: u64,
    operations: BTreeMap<Operation, Asked>,
    unmet: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub asked: u64,
    pub refused: u64,
}

impl Tally {
    /// Counts one more operation, unless there have been enough.
    pub fn ask(&self, limit: Option<u64>) -> bool {
        let mut book = self.book();
        if limit.is_some_and(|limit| book.total >= limit) {
            return false;
        }
        book.total += 1;
        true
    }

    pub fn asked(&self, operation: Operation) {
        self.book().operations.entry(operation).or_default().asked += 1;
    }

    pub fn refused(&self, operation: Operation, unmet: &[String]) {
        let mut book = self.book();
        book.operations.entry(operation).or_default().refused += 1;
        for condition in unmet {
            *book.unmet.entry(condition.clone()).or_default() += 1;
        }
        drop(book);
        self.closed();
    }

    pub fn closed(&self) {
        self.over.send_modify(|over| *over += 1);
    }

    pub fn over(&self) -> watch::Receiver<u64> {
        self.over.subscribe()
    }

    pub fn of(&self, operation: Operation) -> Asked {
        let book = self.book();
        book.operations.get(&operation).copied().unwrap_or_default()
    }

    pub fn all_refused(&self) -> u64 {
        self.book()
            .operations
            .values()
            .map(|kind| kind.refused)
            .sum()
    }

    /// The conditions that refusals were for, most frequent first.
    pub fn unmet(&self) -> Vec<(String, u64)> {
        let mut unmet: Vec<_> = self.book().unmet.clone().into_iter().collect();
        unmet.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        unmet
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
