//! A volume's journal: who was inside, in order. It is also the lock that makes the check of a token and the write one act.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::record::{LENGTH, Record};

/// An append-only file of [`Record`]s.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// The journal while nobody else can write to it, nor to the volume.
#[derive(Debug)]
pub struct Locked<'a> {
    file: &'a File,
}

impl Journal {
    /// Opens the journal, or begins it.
    pub fn open(path: &Path) -> io::Result<Journal> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).open(path)?;
        Ok(Journal { file })
    }

    /// Waits for whoever has it. The kernel takes the lock away from a process that dies.
    pub fn lock(&self) -> io::Result<Locked<'_>> {
        flock(&self.file, FlockOperation::LockExclusive)?;
        Ok(Locked { file: &self.file })
    }

    /// Whether somebody is between check and write at this moment.
    pub fn is_locked(path: &Path) -> io::Result<bool> {
        match flock(File::open(path)?, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// All records, a broken one as `None`.
    pub fn read(path: &Path) -> io::Result<Vec<Option<Record>>> {
        let bytes = std::fs::read(path)?;
        Ok(bytes.chunks(LENGTH).map(Record::parse).collect())
    }
}

impl Locked<'_> {
    /// The latest record. With every token checked, its token is the largest so far.
    pub fn last(&self) -> io::Result<Option<Record>> {
        let mut file = self.file;
        let end = file.seek(SeekFrom::End(0))?;
        let Some(start) = end.checked_sub(LENGTH as u64) else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(start))?;
        let mut line = [0; LENGTH];
        file.read_exact(&mut line)?;
        match Record::parse(&line) {
            Some(record) => Ok(Some(record)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the journal ends in a broken record",
            )),
        }
    }

    pub fn append(&self, record: &Record) -> io::Result<()> {
        let mut file = self.file;
        file.write_all(&record.to_line())
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Nothing to do about a failure here; closing the file unlocks it as well.
        let _ = flock(self.file, FlockOperation::Unlock);
    }
}
