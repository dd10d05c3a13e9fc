//! The operations, step by step. Each is long enough to be cut off in the middle, and each ends by writing its token.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use super::{Inside, MIB, Stamp, StorageError};

/// Smaller than a stamp's distance, so that a copy stays as sparse as its source.
const BLOCK: usize = 4096;

/// What the database says about a volume, for [`Inside::recover`] to make true.
#[derive(Clone, Debug)]
pub enum Truth {
    Absent,
    Present { size: u64, instance: Option<String> },
}

impl Inside<'_> {
    pub fn create(&self, size: u64) -> Result<(), StorageError> {
        let path = self.layout().volume(self.volume);
        let file = self.step("allocate", || File::create(&path))?;
        self.grow(&file, 0, size)
    }

    pub fn extend(&self, from: u64, to: u64) -> Result<(), StorageError> {
        let file = self.open_volume()?;
        self.grow(&file, from, to)
    }

    fn grow(&self, file: &File, from: u64, to: u64) -> Result<(), StorageError> {
        for mib in from..to {
            self.step(&format!("grow {}/{to}", mib + 1), || {
                file.set_len((mib + 1) * MIB)?;
                self.stamp(mib).write(file)?;
                file.sync_data()
            })?;
        }
        self.write_token(file)
    }

    /// A real copy, MiB by MiB, that gets its name when it is complete.
    pub fn snapshot(&self, snapshot: Uuid, size: u64) -> Result<(), StorageError> {
        let source = self.open_volume()?;
        let partial = self.layout().partial(snapshot);
        let copy = self.step("allocate", || {
            let copy = File::create(&partial)?;
            copy.set_len(size * MIB)?;
            Ok(copy)
        })?;
        for mib in 0..size {
            self.step(&format!("copy {}/{size}", mib + 1), || {
                copy_mib(&source, &copy, mib)?;
                copy.sync_data()
            })?;
        }
        self.step("publish", || {
            self.stamp(0).write(&copy)?;
            copy.sync_data()?;
            fs::rename(&partial, self.layout().snapshot(snapshot))
        })
    }

    /// May find that part of it has been done already.
    pub fn delete(&self) -> Result<(), StorageError> {
        let path = self.layout().volume(self.volume);
        if path.exists() {
            let file = self.open_volume()?;
            for mib in (1..file.metadata()?.len() / MIB).rev() {
                self.step(&format!("discard {mib}"), || file.set_len(mib * MIB))?;
            }
        }
        self.step("unlink", || remove(&path))
    }

    /// Fails if the volume is attached.
    pub fn attach(&self, instance: &str) -> Result<(), StorageError> {
        let file = self.open_volume()?;
        self.step("reserve", || {
            let mut options = OpenOptions::new();
            let marker = options
                .create_new(true)
                .write(true)
                .open(self.layout().attachment(self.volume))?;
            write_marker(&marker, instance, self.owner.token)
        })?;
        self.step("map", || file.sync_all())?;
        self.write_token(&file)
    }

    /// May find that part of it has been done already.
    pub fn detach(&self) -> Result<(), StorageError> {
        let file = self.open_volume()?;
        self.step("flush", || file.sync_all())?;
        self.step("unmap", || remove(&self.layout().attachment(self.volume)))?;
        self.write_token(&file)
    }

    /// Makes the files what the database says.
    pub fn recover(&self, truth: &Truth) -> Result<(), StorageError> {
        let marker = self.layout().attachment(self.volume);
        let Truth::Present { size, instance } = truth else {
            self.step("unmap", || remove(&marker))?;
            let path = self.layout().volume(self.volume);
            return self.step("unlink", || remove(&path));
        };
        match instance {
            None => self.step("unmap", || remove(&marker))?,
            Some(instance) => self.step("map", || {
                write_marker(&File::create(&marker)?, instance, self.owner.token)
            })?,
        }
        let file = self.open_volume()?;
        self.step(&format!("cut to {size}"), || file.set_len(size * MIB))?;
        self.write_token(&file)
    }

    /// Removes a snapshot, finished or not.
    pub fn discard(&self, snapshot: Uuid) -> Result<(), StorageError> {
        self.step("unlink", || {
            remove(&self.layout().partial(snapshot))?;
            remove(&self.layout().snapshot(snapshot))
        })
    }

    fn open_volume(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        options.open(self.layout().volume(self.volume))
    }

    fn stamp(&self, mib: u64) -> Stamp {
        Stamp {
            volume: self.volume,
            mib,
            token: self.owner.token,
        }
    }

    fn write_token(&self, file: &File) -> Result<(), StorageError> {
        self.step("token", || {
            self.stamp(0).write(file)?;
            file.sync_data()
        })
    }
}

fn write_marker(mut file: &File, instance: &str, token: i64) -> io::Result<()> {
    write!(file, "{instance} {token}")?;
    file.sync_all()
}

fn copy_mib(from: &File, to: &File, mib: u64) -> io::Result<()> {
    let mut data = vec![0; MIB as usize];
    from.read_exact_at(&mut data, mib * MIB)?;
    for (block, offset) in data.chunks(BLOCK).zip((mib * MIB..).step_by(BLOCK)) {
        if block.iter().any(|byte| *byte != 0) {
            to.write_all_at(block, offset)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The instance and the token in an attachment's file.
pub fn read_marker(path: &Path) -> io::Result<Option<(String, i64)>> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text
        .split_once(' ')
        .and_then(|(instance, token)| Some((instance.to_owned(), token.parse().ok()?))))
}
