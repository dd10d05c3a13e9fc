//! One entry of the database's journal.

use std::fmt;

use uuid::Uuid;

/// What took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        /// Whether its service was fenced by then, or had left in order.
        dead: bool,
    },
    /// The resource was written.
    Wrote {
        /// The resource.
        key: String,
        /// The token in whose name.
        token: i64,
        /// Which write it was.
        write: Uuid,
        /// How often the resource has been written by now.
        version: i64,
    },
    /// A service was fenced.
    Fenced {
        /// Which one.
        service: i64,
    },
}

/// A change with its place in the database's order.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Drawn at the end of its transaction.
    pub turn: i64,
    /// The transaction.
    pub xid: String,
    /// The database's clock at that moment.
    pub at: String,
    /// Whose connection it was: an `application_name`.
    pub by: String,
    /// The change.
    pub change: Change,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            turn,
            xid,
            at,
            by,
            change,
        } = self;
        write!(f, "journal {turn}, by {by} in {xid} at {at}: {change:?}")
    }
}
