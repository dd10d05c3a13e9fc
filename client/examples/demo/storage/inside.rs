//! Being inside a volume: the only way to change its files.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;
use uuid::Uuid;

use super::journal::Journal;
use super::{Layout, Mark, Owner, Record, Storage, StorageError};
use crate::operation::Operation;

/// One operation of one manager inside one volume. Dropped without [`leave`](Inside::leave), it stays begun and not ended in the journal.
#[derive(Debug)]
pub struct Inside<'a> {
    storage: &'a Storage,
    journal: Journal,
    pub(super) volume: Uuid,
    pub(super) owner: Owner,
    operation: Operation,
}

impl<'a> Inside<'a> {
    pub(super) fn new(
        storage: &'a Storage,
        volume: Uuid,
        owner: Owner,
        operation: Operation,
    ) -> io::Result<Inside<'a>> {
        Ok(Inside {
            storage,
            journal: Journal::open(&storage.layout.journal(volume))?,
            volume,
            owner,
            operation,
        })
    }

    pub(super) fn layout(&self) -> &'a Layout {
        self.storage.layout()
    }

    /// Ends the operation.
    pub fn leave(self) -> Result<(), StorageError> {
        self.record(Mark::End, "")
    }

    pub(super) fn record(&self, mark: Mark, note: &str) -> Result<(), StorageError> {
        self.guarded(mark, note, || Ok(()))
    }

    /// Changes something, if the token still counts, and then waits as for a device of some distance.
    pub(super) fn step<T>(
        &self,
        note: &str,
        change: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StorageError> {
        let changed = self.guarded(Mark::Write, note, change)?;
        // Outside the lock: here is where a kill or a pause hits.
        sleep(self.latency());
        Ok(changed)
    }

    /// Check, record and change, with nobody in between.
    fn guarded<T>(
        &self,
        mark: Mark,
        note: &str,
        change: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StorageError> {
        let journal = self.journal.lock()?;
        let token = self.owner.token;
        let newest = journal.last()?.map_or(token, |last| last.token);
        if self.storage.fence && newest > token {
            return Err(StorageError::Fenced { token, newest });
        }
        journal.append(&Record {
            mark,
            token,
            service_id: self.owner.service_id,
            operation: self.operation,
            at: self.owner.at,
            note: note.to_owned(),
        })?;
        Ok(change()?)
    }

    fn latency(&self) -> Duration {
        self.storage
            .latency
            .mul_f64(rand::rng().random_range(0.5..1.5))
    }
}
