//! What the storage knows of its volumes beside their data, and its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use volguard_tests::history::{Change, Entry};

/// The array, while no other process can read or write it. Dropping it unlocks it, and so does the kernel.
#[derive(Debug)]
pub struct Array {
    directory: PathBuf,
    /// Locked, and only ever added to.
    journal: File,
    registers: Registers,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Registers {
    volumes: BTreeMap<String, Register>,
    open: Vec<Opened>,
    /// Services that are shut out.
    dead: BTreeSet<i64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Register {
    /// The largest token that has opened the volume.
    newest: i64,
    /// How often it was written.
    pub version: i64,
    /// The token that has written it last.
    pub written_by: i64,
}

/// A volume that is open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opened {
    pub volume: String,
    token: i64,
    service: i64,
    /// How often it was written since.
    pub writes: usize,
}

impl Array {
    /// Waits until no other process has it.
    pub fn lock(directory: &Path) -> io::Result<Array> {
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true);
        let journal = options.open(directory.join("journal"))?;
        flock(&journal, FlockOperation::LockExclusive)?;
        let registers = match fs::read(directory.join("registers")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Registers::default(),
            Err(error) => return Err(error),
        };
        Ok(Array { directory: directory.to_owned(), journal, registers })
    }

    pub fn register(&self, volume: &str) -> Register {
        let register = self.registers.volumes.get(volume);
        register.copied().unwrap_or_default()
    }

    /// Whether a service may open a volume by this token.
    pub fn lets_in(&self, volume: &str, service: i64, token: i64) -> bool {
        self.register(volume).newest < token && !self.registers.dead.contains(&service)
    }

    /// Whether this token may write to the volume that it has opened.
    pub fn lets_write(&self, volume: &str, token: i64) -> bool {
        self.is_open(token) && self.register(volume).newest == token
    }

    pub fn is_open(&self, token: i64) -> bool {
        let mut open = self.registers.open.iter();
        open.any(|opened| opened.token == token)
    }

    pub fn open_by(&self, service: i64) -> Vec<Opened> {
        let open = self.registers.open.iter();
        let open = open.filter(|opened| opened.service == service);
        open.cloned().collect()
    }

    /// Takes away what a service has open, and never lets it in again.
    pub fn shut_out(&mut self, service: i64) -> io::Result<()> {
        if self.registers.dead.contains(&service) {
            return Ok(());
        }
        self.add(Change::Ended { service })?;
        for opened in self.open_by(service) {
            let (key, token) = (opened.volume, opened.token);
            self.add(Change::Freed { key, token })?;
        }
        Ok(())
    }

    /// Writes down what takes effect.
    pub fn add(&mut self, change: Change) -> io::Result<()> {
        let mut line = serde_json::to_vec(&change)?;
        line.push(b'\n');
        self.journal.write_all(&line)?;
        self.registers.note(change);
        let (new, registers) = ("registers.new", serde_json::to_vec(&self.registers)?);
        fs::write(self.directory.join(new), registers)?;
        // A process that is killed leaves the old ones or the new ones.
        fs::rename(self.directory.join(new), self.directory.join("registers"))
    }

    /// The journal, for the checker: each line is a transaction of its own.
    pub fn journal(directory: &Path) -> anyhow::Result<Vec<Entry>> {
        let text = fs::read_to_string(directory.join("journal"))?;
        let entry = |(turn, line): (u64, &str)| {
            Ok(Entry {
                turn,
                xid: turn.to_string(),
                at: "its turn".to_owned(),
                change: serde_json::from_str(line).with_context(|| line.to_owned())?,
            })
        };
        (1..).zip(text.lines()).map(entry).collect()
    }
}

impl Registers {
    fn note(&mut self, change: Change) {
        match change {
            Change::Taken { key: volume, token, service, .. } => {
                let register = self.volumes.entry(volume.clone()).or_default();
                register.newest = register.newest.max(token);
                self.open.push(Opened { volume, token, service, writes: 0 });
            }
            Change::Freed { token, .. } => self.open.retain(|opened| opened.token != token),
            Change::Wrote { key, token, version, .. } => {
                let register = self.volumes.entry(key).or_default();
                (register.version, register.written_by) = (version, token);
                let opened = self.open.iter_mut().find(|opened| opened.token == token);
                opened.into_iter().for_each(|opened| opened.writes += 1);
            }
            Change::Ended { service } => drop(self.dead.insert(service)),
            // Rows of the database, which a storage does not see.
            Change::Work { .. } | Change::WorkEnded { .. } | Change::Status { .. } => {}
        }
    }
}
