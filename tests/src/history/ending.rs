//! The state of a resource at the end.

use std::fmt;

/// A resource at the end: the recorded state, and the state that is found where the resource really is.
///
/// The caller chooses the words for both. They must be equal: the size of a volume in
/// the database and on disk, the locks that should be left (none) and those that are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The resource.
    pub key: String,
    /// The recorded state.
    pub recorded: String,
    /// The state that was found.
    pub found: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, recorded, found } = self;
        write!(f, "{key}: on record: {recorded}; found: {found}")
    }
}
