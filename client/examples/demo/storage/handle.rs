//! A volume that this process has opened: the only way to change its files.

use std::io;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::sleep;
use uuid::Uuid;
use volguard_tests::history::{Act, Answer, Change};

use super::{Array, Files, Storage, StorageError};

/// What a step takes beyond what the disk needs, about: a device of some distance.
pub const LATENCY: Duration = Duration::from_millis(40);

#[derive(Debug)]
pub struct Handle<'a> {
    storage: &'a Storage,
    volume: String,
    token: i64,
    /// How often the volume has been written: no other process writes as long as the lock is held.
    version: i64,
}

impl<'a> Handle<'a> {
    pub(super) fn new(storage: &'a Storage, volume: &str, token: i64, version: i64) -> Handle<'a> {
        Handle { storage, volume: volume.to_owned(), token, version }
    }

    /// A change, and the time that it takes. A kill or a pause comes in that time, not while the array is locked.
    pub async fn step(&mut self, change: impl FnOnce(&Files) -> io::Result<()>) -> Result<(), StorageError> {
        block_in_place(|| self.write(change))?;
        sleep(LATENCY.mul_f64(0.5 + fastrand::f64())).await;
        Ok(())
    }

    /// Changes the files, if the token still counts.
    pub fn write(&mut self, change: impl FnOnce(&Files) -> io::Result<()>) -> Result<(), StorageError> {
        let (key, token, write) = (self.volume.clone(), self.token, Uuid::new_v4());
        let question = self.storage.log.ask(Act::Write { key: key.clone(), token, write })?;
        let mut array = Array::lock(&self.storage.directory)?;
        if self.storage.fenced && !array.lets_write(&self.volume, token) {
            question.answer(Answer::Refused)?;
            return Err(StorageError::Refused(token));
        }
        change(&Files::new(&self.storage.directory, &self.volume))?;
        self.version += 1;
        array.add(Change::Wrote { key, token, write, version: self.version })?;
        Ok(question.answer(Answer::Written)?)
    }

    /// To be called before the lock is released: the next holder must not find the volume open.
    pub fn close(self) -> Result<(), StorageError> {
        let (key, token) = (self.volume, self.token);
        let question = self.storage.log.ask(Act::Release { key: key.clone(), token })?;
        let mut array = Array::lock(&self.storage.directory)?;
        if !array.is_open(token) {
            return Ok(question.answer(Answer::NotHeld)?);
        }
        array.add(Change::Freed { key, token })?;
        Ok(question.answer(Answer::Released)?)
    }
}
