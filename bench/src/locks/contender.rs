//! Who offers locks.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    Volguard,
    /// Releases without waiting for the disk.
    Relaxed,
    Hand,
    /// Deletes without waiting for the disk.
    HandRelaxed,
    Advisory,
    Etcd,
    Redis,
}

impl Contender {
    pub const RIVALS: [Contender; 4] = [
        Contender::Hand,
        Contender::Advisory,
        Contender::Etcd,
        Contender::Redis,
    ];

    /// Ours and these, and beside the one by hand what it comes to when it is relaxed, as ours is.
    pub fn all(rivals: &[Contender]) -> Vec<Contender> {
        let mut all = vec![Contender::Volguard, Contender::Relaxed];
        for rival in Contender::RIVALS {
            if rivals.contains(&rival) {
                all.push(rival);
                all.extend((rival == Contender::Hand).then_some(Contender::HandRelaxed));
            }
        }
        all
    }

    pub fn name(self) -> &'static str {
        match self {
            Contender::Volguard => "volguard",
            Contender::Relaxed => "volguard, relaxed",
            Contender::Hand => "hand",
            Contender::HandRelaxed => "hand, relaxed",
            Contender::Advisory => "advisory",
            Contender::Etcd => "etcd",
            Contender::Redis => "redis",
        }
    }

    /// What it does, and how it waits for a lock that is taken.
    pub fn description(self) -> &'static str {
        match self {
            Contender::Volguard => {
                "acquire and release as the Rust client calls them; waits in the database"
            }
            Contender::Relaxed => "the same, released with synchronous_commit = off",
            Contender::Hand => {
                "prepared INSERT ... ON CONFLICT DO NOTHING RETURNING and DELETE; polls every millisecond"
            }
            Contender::HandRelaxed => "the same, deleted with synchronous_commit = off",
            Contender::Advisory => {
                "pg_advisory_lock and pg_advisory_unlock, which nothing writes to disk; waits in the database"
            }
            Contender::Etcd => "Lock and Unlock of its lock API, a lease per client; waits in etcd",
            Contender::Redis => {
                "SET NX PX and a script that compares and deletes; polls every millisecond"
            }
        }
    }
}
