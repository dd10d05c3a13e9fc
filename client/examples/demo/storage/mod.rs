//! The storage back end: a shared directory, in which a volume is a sparse file.
//!
//! A file system knows nothing of tokens, so the back end does what a disk array with fencing does: before every single
//! write it compares the writer's token with the largest that it has seen for the volume, and refuses a smaller one. Check and write
//! happen under one lock ([`journal`]), so a writer that was paused in between can't slip through.

mod inside;
mod journal;
mod layout;
mod record;
mod stamp;
mod work;

use std::io;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::operation::Operation;

pub use inside::Inside;
pub use journal::Journal;
pub use layout::{Layout, Room};
pub use record::{Mark, Record};
pub use stamp::Stamp;
pub use work::{Truth, read_marker};

/// The unit of sizes.
pub const MIB: u64 = 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Storage {
    layout: Layout,
    /// Each step takes about this much longer than the disk needs: a device of some distance.
    latency: Duration,
    /// Taken away by `--break storage-fence`.
    fence: bool,
}

/// On whose behalf somebody enters a volume.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub token: i64,
    pub service_id: i64,
    /// The database's clock, in microseconds, read under the lock.
    pub at: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Somebody with a larger token has been inside the volume.
    #[error("the storage has seen token {newest}, later than {token}")]
    Fenced { token: i64, newest: i64 },
    #[error("storage: {0}")]
    Io(#[from] io::Error),
}

impl Storage {
    pub fn new(directory: &Path, latency: Duration, fence: bool) -> Storage {
        Storage {
            layout: Layout::new(directory),
            latency,
            fence,
        }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Enters a volume. From here on a smaller token is refused.
    pub fn enter(
        &self,
        volume: Uuid,
        owner: Owner,
        operation: Operation,
    ) -> Result<Inside<'_>, StorageError> {
        let inside = Inside::new(self, volume, owner, operation)?;
        inside.record(Mark::Begin, "")?;
        Ok(inside)
    }
}

#[cfg(test)]
mod tests;
