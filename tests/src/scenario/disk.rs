//! A storage without a fence: it accepts every write, from every process that believes to hold the lock.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use uuid::Uuid;

use super::Violation;
use crate::time::now;
use crate::workspace;

/// A file to which writers only add lines, each with its token and the time of a clock that all processes share.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: File,
}

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    token: i64,
    at: u64,
}

/// All that was written with one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The token.
    pub token: i64,
    /// The number of writes.
    pub writes: usize,
    began: u64,
    ended: u64,
}

impl Disk {
    /// Creates a disk; [`remove`](Self::remove) removes it.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn create() -> anyhow::Result<Self> {
        let dir = workspace::target().join("disks");
        fs::create_dir_all(&dir)?;
        Self::open(&dir.join(Uuid::new_v4().to_string()))
    }

    /// Opens a disk, which may exist already.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { path: path.to_owned(), file: file.with_context(|| path.display().to_string())? })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes, without any check.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn write(&self, token: i64) -> std::io::Result<()> {
        let mut line = String::new();
        let _ = writeln!(line, "{token} {}", now());
        // By one call, so that lines of several processes don't mix.
        (&self.file).write_all(line.as_bytes())
    }

    /// The token of the last write.
    ///
    /// # Errors
    /// As [`audit`](Self::audit), except for violations.
    pub fn last(&self) -> anyhow::Result<Option<i64>> {
        Ok(self.read()?.last().map(|entry| entry.token))
    }

    /// The turns of the writers, if they came one after the other.
    ///
    /// # Errors
    /// [`Violation::TokenWentBack`], [`Violation::TwoHolders`], or an error of the operating system.
    pub fn audit(&self) -> anyhow::Result<Vec<Turn>> {
        Ok(turns(&self.read()?)?)
    }

    /// Removes it.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn remove(self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path)?)
    }

    fn read(&self) -> anyhow::Result<Vec<Entry>> {
        let text = fs::read_to_string(&self.path)?;
        let lines = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
        lines.map(entry).collect()
    }
}

fn entry(line: &str) -> anyhow::Result<Entry> {
    let (token, at) = line.trim_end().split_once(' ').context("no time")?;
    Ok(Entry { token: token.parse()?, at: at.parse()? })
}

/// Entries come in the order in which the disk took them.
fn turns(entries: &[Entry]) -> Result<Vec<Turn>, Violation> {
    let mut turns = Vec::<Turn>::new();
    for entry in entries {
        match turns.last_mut() {
            Some(last) if last.token == entry.token => {
                last.writes += 1;
                // Two tasks of one writer may read the clock in one order and write in the other.
                last.began = last.began.min(entry.at);
                last.ended = last.ended.max(entry.at);
            }
            Some(last) if last.token > entry.token => {
                return Err(Violation::TokenWentBack {
                    key: "disk".to_owned(),
                    earlier: last.token,
                    later: entry.token,
                });
            }
            _ => turns.push(Turn { token: entry.token, writes: 1, began: entry.at, ended: entry.at }),
        }
    }
    for pair in turns.windows(2) {
        if pair[1].began <= pair[0].ended {
            return Err(Violation::TwoHolders { key: "disk".to_owned(), tokens: [pair[0].token, pair[1].token] });
        }
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(told: &[(i64, u64)]) -> Vec<Entry> {
        let entry = |&(token, at)| Entry { token, at };
        told.iter().map(entry).collect()
    }

    #[test]
    fn one_after_the_other() {
        let turns = turns(&entries(&[(1, 10), (1, 20), (2, 30), (4, 40), (4, 40)])).unwrap();
        let found: Vec<_> = turns.iter().map(|turn| (turn.token, turn.writes)).collect();
        assert_eq!(found, [(1, 2), (2, 1), (4, 2)]);
    }

    #[test]
    fn a_write_of_an_earlier_holder_is_seen() {
        let broken = turns(&entries(&[(1, 10), (2, 20), (1, 30)])).unwrap_err();
        assert!(matches!(broken, Violation::TokenWentBack { earlier: 2, later: 1, .. }));
    }

    /// In the disk's order alone all is well: the first writer may have checked its lock after the second had got it.
    #[test]
    fn a_write_that_began_before_the_last_of_the_earlier_holder_is_seen() {
        let broken = turns(&entries(&[(1, 10), (1, 30), (2, 25)])).unwrap_err();
        assert!(matches!(broken, Violation::TwoHolders { tokens: [1, 2], .. }));
    }
}
