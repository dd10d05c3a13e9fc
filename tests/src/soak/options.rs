//! What is played.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fault;
use super::deck::DECK;
use crate::Profile;

/// What a run is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// What cargo built of `src/bin/soak_client.rs`.
    pub program: PathBuf,
    /// How long it storms.
    pub duration: Duration,
    /// What every choice of the clients and of the weather depends on. When a choice meets what is up to the machine.
    pub seed: u64,
    /// How many processes work at the same time.
    pub clients: usize,
    /// The lease of their services.
    pub lease: Duration,
    /// How they work.
    pub habits: Habits,
    /// The faults, each as often as it is listed, in any order; then again.
    pub deck: Vec<Fault>,
    /// Between two faults, on the average.
    pub gap: Duration,
    /// How many leases a client stays stopped, or a network still: at least, at most.
    pub standstill: [f64; 2],
    /// How long what is left afterwards may take to end by itself: waits, leases.
    pub calm: Duration,
    /// How the extension is compiled.
    pub profile: Profile,
    /// SQL that a superuser runs before: it takes guards away.
    pub prepare: String,
}

/// How a client works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Habits {
    /// How many keys all want.
    pub hot_keys: usize,
    /// How many tasks a process has.
    pub visitors: usize,
    /// How often it writes under one lock, at most.
    pub writes: u8,
    /// The longest pause between two acts under a lock.
    pub pause: Duration,
    /// In how many of a hundred writes the client hangs up before the answer can come.
    pub abandoned: u8,
    /// In how many of a hundred visits it takes several locks at once.
    pub several: u8,
    /// Whether writes name their token as a fence.
    pub fenced: bool,
}

/// What one client process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientOptions {
    /// The database.
    pub url: String,
    /// The host that it registers.
    pub host: String,
    /// Its log.
    pub log: PathBuf,
    /// What its choices depend on.
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
                abandoned: 4,
                several: 25,
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
