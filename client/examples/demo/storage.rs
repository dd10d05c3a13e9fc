//! The storage: a directory that all managers share, in which a volume is a sparse file.
//!
//! A file system knows nothing of tokens. So this back end does what a disk array with reservations does. A manager
//! opens a volume with the token of its lock. From then on the array refuses smaller tokens, and services that it was
//! told are dead. It checks the token and writes under one lock, so that nothing comes in between, not even a pause
//! of the process.
//!
//! What takes effect is added to a journal, in that order. What a process asks of the storage, and how it is
//! answered, is added to a log of the process. Both have the form that the checker of the tests reads.

mod array;
mod files;
mod handle;
mod operations;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use uuid::Uuid;
use volguard_tests::history::{Act, Answer, Change, Log};

use crate::options::{Guard, Post};

pub use array::{Array, Opened};
pub use files::{Files, describe};
pub use handle::{Handle, LATENCY};

#[derive(Debug)]
pub struct Storage {
    directory: PathBuf,
    log: Log,
    /// Taken away by `--break storage-fence`.
    fenced: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("the storage refuses token {0}: it is not the newest, or its service is dead")]
    Refused(i64),
    #[error("storage: {0}")]
    Io(#[from] std::io::Error),
    #[error("the log of this process: {0:#}")]
    Log(#[from] anyhow::Error),
}

impl Storage {
    /// Makes the directory ready for the managers.
    pub fn make(directory: &Path) -> Result<()> {
        fs::create_dir(directory.join("volumes"))?;
        fs::create_dir(directory.join("logs"))?;
        // There is a journal even if nothing ever takes effect.
        fs::File::create(directory.join("journal"))?;
        Ok(())
    }

    pub fn new(post: &Post) -> Result<Storage> {
        let log = format!("logs/{}-{}", post.name, std::process::id());
        Ok(Storage {
            directory: post.directory.clone(),
            log: Log::create(&post.directory.join(log))?,
            fenced: post.broken != Some(Guard::StorageFence),
        })
    }

    /// Opens a volume for a service that holds the volume's lock by this token. `dead` are services that the database
    /// has fenced: they are shut out.
    pub fn open(&self, volume: &str, (service, token): (i64, i64), dead: &[i64]) -> Result<Handle<'_>, StorageError> {
        let (key, request) = (volume.to_owned(), Uuid::new_v4());
        let question = self.log.ask(Act::Acquire { key: key.clone(), request, service })?;
        let mut array = Array::lock(&self.directory)?;
        for service in dead {
            array.shut_out(*service)?;
        }
        if self.fenced && !array.lets_in(volume, service, token) {
            question.answer(Answer::NotFree)?;
            return Err(StorageError::Refused(token));
        }
        array.add(Change::Taken { key, token, service, request })?;
        question.answer(Answer::Token(token))?;
        let version = array.register(volume).version;
        Ok(Handle::new(self, volume, token, version))
    }
}
