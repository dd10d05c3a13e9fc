//! What a request has got.

/// The outcome of a request to start work. Only [`Started`](WorkOutcome::Started) has changed anything.
#[derive(Debug)]
#[must_use = "a refusal is an outcome, not an error"]
#[non_exhaustive]
pub enum WorkOutcome<W> {
    /// The lock is held and the row changed.
    Started(W),
    /// The row is not as expected. Lists all columns whose condition fails, then `filter` if the filter doesn't hold.
    Unmet(Vec<String>),
    /// The resource has no row, or none that the role may see.
    NotFound,
    /// The lock, the resource's work slot, or its row was not free in time.
    Locked,
}

impl<W> WorkOutcome<W> {
    /// The work, if it was started.
    pub fn started(self) -> Option<W> {
        match self {
            WorkOutcome::Started(work) => Some(work),
            _ => None,
        }
    }

    pub(crate) fn map<V>(self, work: impl FnOnce(W) -> V) -> WorkOutcome<V> {
        match self {
            WorkOutcome::Started(started) => WorkOutcome::Started(work(started)),
            WorkOutcome::Unmet(names) => WorkOutcome::Unmet(names),
            WorkOutcome::NotFound => WorkOutcome::NotFound,
            WorkOutcome::Locked => WorkOutcome::Locked,
        }
    }
}
