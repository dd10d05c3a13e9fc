//! What can be done to a volume.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The status of a row whose manager died, until a survivor has put the storage right as well.
pub const RECOVERING: &str = "recovering";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    Create,
    Extend,
    Snapshot,
    Attach,
    Detach,
    Delete,
    /// Makes the volume's files what the database says, after a crash.
    Recover,
    /// Removes what a crash left of a snapshot.
    Discard,
}

impl Operation {
    /// What users can ask for.
    pub const REQUESTS: [Operation; 6] = [
        Operation::Create,
        Operation::Extend,
        Operation::Snapshot,
        Operation::Attach,
        Operation::Detach,
        Operation::Delete,
    ];

    const ALL: [Operation; 8] = [
        Operation::Create,
        Operation::Extend,
        Operation::Snapshot,
        Operation::Attach,
        Operation::Detach,
        Operation::Delete,
        Operation::Recover,
        Operation::Discard,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Extend => "extend",
            Operation::Snapshot => "snapshot",
            Operation::Attach => "attach",
            Operation::Detach => "detach",
            Operation::Delete => "delete",
            Operation::Recover => "recover",
            Operation::Discard => "discard",
        }
    }

    /// The status of the row that is worked on (the snapshot's for snapshots, otherwise the volume's) meanwhile.
    pub fn working_status(self) -> &'static str {
        match self {
            Operation::Create | Operation::Snapshot => "creating",
            Operation::Extend => "extending",
            Operation::Attach => "attaching",
            Operation::Detach => "detaching",
            Operation::Delete => "deleting",
            Operation::Recover | Operation::Discard => RECOVERING,
        }
    }

    /// Whether it may simply be done again after a crash. What may not is rolled back.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Operation::Detach | Operation::Delete)
    }

    /// What undoes it on the storage after a crash.
    pub fn remedy(self) -> Operation {
        match self {
            Operation::Snapshot => Operation::Discard,
            _ => Operation::Recover,
        }
    }

    /// Whether it ends by writing its token into the volume's own file.
    pub fn stamps_volume(self) -> bool {
        !matches!(
            self,
            Operation::Snapshot | Operation::Discard | Operation::Delete
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Operation {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Operation> {
        Operation::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
            .ok_or_else(|| anyhow::anyhow!("no such operation: {name}"))
    }
}
