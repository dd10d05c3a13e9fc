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
}

impl Operation {
    pub const ALL: [Operation; 4] = [Operation::Create, Operation::Extend, Operation::Snapshot, Operation::Delete];

    /// The status of a volume while a manager works on it.
    pub fn status(self) -> &'static str {
        match self {
            Operation::Create => "creating",
            Operation::Extend => "extending",
            Operation::Snapshot => "snapshotting",
            Operation::Delete => "deleting",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_lowercase())
    }
}
