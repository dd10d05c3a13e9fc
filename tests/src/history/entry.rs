//! One entry of the journal.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Finish;

/// An effect. A storage with its own journal writes one of these
/// on each line; its locks are the tokens that it has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A row of `workers` was inserted.
    Taken {
        /// The resource.
        key: String,
        /// The row's token.
        token: i64,
        /// The row's service.
        service: i64,
        /// The request that it was inserted for.
        request: Uuid,
    },
    /// A row of `workers` was deleted.
    Freed {
        /// The resource.
        key: String,
        /// The row's token.
        token: i64,
    },
    /// The resource was written.
    Wrote {
        /// The resource.
        key: String,
        /// The token of the write.
        token: i64,
        /// The number of the write.
        write: Uuid,
        /// The number of writes to the resource so far.
        version: i64,
    },
    /// A service was fenced, or has stopped in order.
    Ended {
        /// The service.
        service: i64,
    },
    /// The row of submitted work was inserted, or changed to this.
    Work {
        /// The resource.
        key: String,
        /// The row.
        piece: Piece,
    },
    /// The row of submitted work was deleted.
    WorkEnded {
        /// The resource.
        key: String,
        /// The row's token.
        token: i64,
    },
    /// The resource of work got a status.
    Status {
        /// The resource.
        key: String,
        /// Its status.
        status: String,
        /// The request of the last work on it.
        request: Uuid,
        /// How that has ended; `None` if it has not.
        how: Option<Finish>,
    },
}

/// The row of a piece of submitted work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its number.
    pub work: i64,
    /// Its token: the number while it waits.
    pub token: i64,
    /// The service that has it; `None` while it waits.
    pub service: Option<i64>,
    /// The status of the resource.
    pub status: String,
    /// Which attempt it is.
    pub attempt: i64,
    /// The request that it was submitted under.
    pub request: Uuid,
}

/// A change with its place in the database's order.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place: transactions in the order of their commits, changes as they were made in them.
    pub turn: u64,
    /// The transaction.
    pub xid: String,
    /// When it was committed, by the database's clock.
    pub at: String,
    /// The change.
    pub change: Change,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turn, xid, at, change } = self;
        write!(f, "{turn}: transaction {xid}, committed at {at}: {change:?}")
    }
}
