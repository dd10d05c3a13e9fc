//! What has happened, so that nobody plays plans in which nothing does.

#[derive(Debug, Default)]
pub struct Tally {
    /// Acquires that got what they asked for.
    pub granted: usize,
    /// Acquires that got nothing.
    pub refused: usize,
    /// Futures that were dropped before their end.
    pub dropped: usize,
    /// Calls that ended with an error.
    pub broken: usize,
    /// Connections that were cut as planned.
    pub cut: usize,
    /// Sessions that were started.
    pub started: usize,
    /// Locks, or sets of them, that were held in the end.
    pub kept: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        let Tally {
            granted,
            refused,
            dropped,
            broken,
            cut,
            started,
            kept,
        } = other;
        self.granted += granted;
        self.refused += refused;
        self.dropped += dropped;
        self.broken += broken;
        self.cut += cut;
        self.started += started;
        self.kept += kept;
    }

    /// Whether the plans were what they are meant to be.
    pub fn is_complete(&self) -> bool {
        let seen = [
            self.granted,
            self.refused,
            self.dropped,
            self.broken,
            self.cut,
            self.kept,
        ];
        !seen.contains(&0)
    }
}
