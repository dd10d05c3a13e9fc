//! The operations, step by step, each long enough to be cut off in its middle.

use super::{Files, Handle, StorageError};
use crate::operation::Operation;
use crate::volume::Volume;

impl Handle<'_> {
    /// Does what the row says is to be done.
    pub async fn perform(&mut self, row: &Volume) -> Result<(), StorageError> {
        match row.task {
            Operation::Repair => self.repair(row).await?,
            Operation::Create | Operation::Extend => {
                for mib in row.size..row.new_size.unwrap_or(row.size) {
                    self.step(|files| files.grow(mib)).await?;
                }
            }
            Operation::Snapshot => {
                for mib in 0..row.size {
                    self.step(|files| files.copy(mib)).await?;
                }
                let number = row.snapshots + 1;
                self.step(|files| files.publish(number)).await?;
            }
            // It may find that it has been done before a crash.
            Operation::Delete => {
                self.step(|_| Ok(())).await?;
                self.step(Files::remove).await?;
            }
        }
        Ok(())
    }

    /// Makes the files what the row says, whatever a crash has left of an operation.
    async fn repair(&mut self, row: &Volume) -> Result<(), StorageError> {
        let next = row.snapshots + 1;
        self.step(|files| files.remove_snapshot(next)).await?;
        match row.size {
            0 => self.step(Files::remove).await,
            size => self.step(|files| files.cut(size)).await,
        }
    }
}
