//! The parts of the benchmark.

use anyhow::Result;

use crate::options::Options;
use crate::score::Score;
use crate::stage::Stage;
use crate::{cleanup, growth, locks, queue, updates, work};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Updates,
    Locks,
    Work,
    Queue,
    Cleanup,
    Growth,
}

use Part::{Cleanup, Growth, Locks, Queue, Updates, Work};

impl Part {
    pub const ALL: [Part; 6] = [Updates, Locks, Work, Queue, Cleanup, Growth];

    pub fn name(self) -> &'static str {
        match self {
            Updates => updates::NAME,
            Locks => locks::NAME,
            Work => work::NAME,
            Queue => queue::NAME,
            Cleanup => cleanup::NAME,
            Growth => growth::NAME,
        }
    }

    pub async fn run(self, stage: &Stage, options: &Options) -> Result<Score> {
        match self {
            Updates => updates::run(stage, options).await,
            Locks => locks::run(stage, options).await,
            Work => work::run(stage, options).await,
            Queue => queue::run(stage, options).await,
            Cleanup => cleanup::run(stage, options).await,
            Growth => growth::run(stage, options).await,
        }
    }
}
