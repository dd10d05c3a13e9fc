//! The options of a run.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fault;
use super::deck::DECK;
use crate::Profile;

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary that cargo built of `src/bin/soak_client.rs`.
    pub program: PathBuf,
    /// The length of the storm.
    pub duration: Duration,
    /// The seed of every choice of clients and faults. The machine decides when these choices meet.
    pub seed: u64,
    /// The number of client processes at the same time.
    pub clients: usize,
    /// The lease of their services.
    pub lease: Duration,
    /// How they work.
    pub habits: Habits,
    /// The faults, each as often as it is listed, in random order; then again.
    pub deck: Vec<Fault>,
    /// The average time between two faults.
    pub gap: Duration,
    /// How many leases a client or a network stays stopped: at least, at most.
    pub standstill: [f64; 2],
    /// The time limit for what is left to end by itself: waits, leases.
    pub calm: Duration,
    /// How the extension is compiled.
    pub profile: Profile,
    /// SQL that a superuser runs first: it removes guards.
    pub prepare: String,
}

/// How a client works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Habits {
    /// The number of keys that all clients use.
    pub hot_keys: usize,
    /// The number of tasks of a process.
    pub visitors: usize,
    /// The largest number of writes under one lock.
    pub writes: u8,
    /// The longest pause between two calls under a lock.
    pub pause: Duration,
    /// The longest pause on a key that no other client uses, as a share of the lease.
    pub lingering: f64,
    /// The percentage of writes in which the client hangs up before the answer can come.
    pub abandoned: u8,
    /// The percentage of visits that take several locks at once.
    pub several: u8,
    /// The number of tasks of a process that submit work and do it, each with a service of its own.
    pub workers: usize,
    /// The number of resources of that work.
    pub jobs: usize,
    /// Whether writes have their token as a fence.
    pub fenced: bool,
}

/// The options of one client process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientOptions {
    /// The database.
    pub url: String,
    /// The host that it registers.
    pub host: String,
    /// Its log.
    pub log: PathBuf,
    /// The seed of its choices.
    pub seed: u64,
    /// Its lease.
    pub lease: Duration,
    /// How it works.
    pub habits: Habits,
}

impl Options {
    /// The usual storm, with clients made from `program`.
    #[must_use]
    pub fn new(program: PathBuf, seed: u64) -> Self {
        Self {
            program,
            duration: Duration::from_secs(45),
            seed,
            clients: 24,
            lease: Duration::from_millis(1500),
            habits: Habits {
                hot_keys: 4,
                visitors: 2,
                writes: 3,
                pause: Duration::from_millis(4),
                lingering: 0.5,
                abandoned: 4,
                several: 25,
                workers: 1,
                jobs: 40,
                fenced: true,
            },
            deck: DECK.to_vec(),
            gap: Duration::from_millis(200),
            standstill: [0.2, 2.2],
            calm: Duration::from_secs(30),
            profile: Profile::Debug,
            prepare: String::new(),
        }
    }
}
