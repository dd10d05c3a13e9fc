//! What can be done to a volume.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Create,
    Extend,
    Snapshot,
    Delete,
    /// Makes the files what the row says, whatever a crash has left of another operation.
    Repair,
}

impl Operation {
    pub const ALL: [Operation; 5] =
        [Operation::Create, Operation::Extend, Operation::Snapshot, Operation::Delete, Operation::Repair];

    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Extend => "extend",
            Operation::Snapshot => "snapshot",
            Operation::Delete => "delete",
            Operation::Repair => "repair",
        }
    }

    /// The status of a volume from the request to the end of the work.
    pub fn status(self) -> &'static str {
        match self {
            Operation::Create => "creating",
            Operation::Extend => "extending",
            Operation::Snapshot => "snapshotting",
            Operation::Delete => "deleting",
            Operation::Repair => "repairing",
        }
    }

    /// Whether it can be done again from its beginning, however far it has come: then a crash has it retried.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Operation::Delete | Operation::Repair)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
