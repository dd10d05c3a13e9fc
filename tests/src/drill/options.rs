//! The options of a drill.

use std::fmt;
use std::path::PathBuf;

/// Who promotes, and what the standbys have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By hand. A commit waits for one of two standbys, and the one that has more is promoted.
    Synchronous,
    /// By hand. No commit waits, and the standby that is promoted has missed the last ones.
    Lagging,
    /// By Patroni, whose commits wait for one standby.
    Patroni,
}

impl Mode {
    /// Whether what was acknowledged must survive.
    #[must_use]
    pub fn is_synchronous(self) -> bool {
        self != Self::Lagging
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synchronous => "a synchronous standby, promoted by hand",
            Self::Lagging => "asynchronous standbys that lag, promoted by hand",
            Self::Patroni => "Patroni and etcd, with a synchronous standby",
        })
    }
}

/// The options of a drill.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary that cargo built of `src/bin/soak_client.rs`.
    pub program: PathBuf,
    /// Who promotes, and what the standbys have.
    pub mode: Mode,
    /// How often the primary is killed.
    pub rounds: usize,
    /// The number of client processes.
    pub clients: usize,
    /// The seed of the clients' choices. The machine decides when these choices meet.
    pub seed: u64,
}

impl Options {
    /// A drill with this many rounds, and with clients made from `program`.
    #[must_use]
    pub fn new(program: PathBuf, mode: Mode, rounds: usize) -> Self {
        Self { program, mode, rounds, clients: 4, seed: fastrand::u64(0..1_000_000_000) }
    }
}
