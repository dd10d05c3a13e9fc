//! The files of one volume.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The unit of sizes.
const MIB: u64 = 1024 * 1024;
/// How much of each MiB is really written.
const BLOCK: usize = 4096;

#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    volume: String,
}

impl Files {
    pub fn new(directory: &Path, volume: &str) -> Files {
        Files { directory: directory.join("volumes"), volume: volume.to_owned() }
    }

    /// Adds the MiB with this number; with the first one the file comes.
    pub fn grow(&self, mib: u64) -> io::Result<()> {
        let mut block = format!("{} MiB {mib}\n", self.volume).into_bytes();
        block.resize(BLOCK, 0);
        write(&self.path("data"), mib, &block)
    }

    pub fn cut(&self, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path("data"))?;
        file.set_len(size * MIB)
    }

    /// Copies a MiB into the snapshot that is being made.
    pub fn copy(&self, mib: u64) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        File::open(self.path("data"))?.read_exact_at(&mut block, mib * MIB)?;
        write(&self.path("partial"), mib, &block)
    }

    /// Gives the snapshot its name.
    pub fn publish(&self, number: u64) -> io::Result<()> {
        fs::rename(self.path("partial"), self.snapshot(number))
    }

    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path("data"))
    }

    /// Removes a snapshot that was not finished, or not recorded.
    pub fn remove_snapshot(&self, number: u64) -> io::Result<()> {
        remove(&self.path("partial"))?;
        remove(&self.snapshot(number))
    }

    /// What is there, in words.
    pub fn describe(&self) -> io::Result<String> {
        let Ok(data) = fs::metadata(self.path("data")) else {
            return Ok("no file".to_owned());
        };
        let snapshots = (1..).take_while(|number| self.snapshot(*number).exists());
        let size = data.len() as f64 / MIB as f64;
        let described = describe(size, snapshots.count() as u64);
        Ok(match self.path("partial").exists() {
            true => described + " and a part of a snapshot",
            false => described,
        })
    }

    fn snapshot(&self, number: u64) -> PathBuf {
        self.path(&format!("snapshot-{number}"))
    }

    fn path(&self, what: &str) -> PathBuf {
        self.directory.join(format!("{}.{what}", self.volume))
    }
}

/// A volume in words, on which the database and the storage have to agree.
pub fn describe(mib: f64, snapshots: u64) -> String {
    format!("{mib} MiB, {snapshots} snapshots")
}

fn write(path: &Path, mib: u64, block: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).truncate(false);
    let file = options.open(path)?;
    file.set_len((mib + 1) * MIB)?;
    file.write_all_at(block, mib * MIB)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
