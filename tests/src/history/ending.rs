//! The state that something is left in.

use std::fmt;

/// A resource when everything is over: what the record says, and what is found where it really is.
///
/// Both are told in words of the caller's choice. They have to be the same: the size of a volume in the database and
/// on disk, the locks that should be left (none) and those that are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Of what.
    pub key: String,
    /// What it should be like.
    pub recorded: String,
    /// What it is like.
    pub found: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, recorded, found } = self;
        write!(f, "{key}: on record: {recorded}; found: {found}")
    }
}
