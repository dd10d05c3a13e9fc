//! Turns: how many locks a contender's clients take in a given time, how long each waits, and who is served how often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::baton::Baton;
use super::locker::Locker;
use super::team::Team;

/// How long the last clients in line may take to get their lock when a turn is over.
const PATIENCE: Duration = Duration::from_secs(60);
/// Own keys are many, and lie far from each other, as the volumes of a volume manager do.
const OWN_KEYS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// Each client has keys that nobody else wants.
    OwnKeys,
    /// All want the same key.
    HotKey,
}

impl Load {
    pub fn name(self) -> &'static str {
        match self {
            Load::OwnKeys => "own keys",
            Load::HotKey => "one hot key",
        }
    }

    /// Each client's keys.
    fn keys(self, clients: usize) -> Vec<Vec<String>> {
        let new = |count: usize| -> Vec<String> {
            (0..count).map(|_| Uuid::new_v4().to_string()).collect()
        };
        match self {
            Load::OwnKeys => (0..clients).map(|_| new(OWN_KEYS)).collect(),
            Load::HotKey => vec![new(1); clients],
        }
    }
}

/// What one turn came to.
#[derive(Debug, Clone)]
pub struct Turn {
    pub pairs_per_second: f64,
    /// Processor time of the processes that serve the clients, in microseconds.
    pub server_time_per_pair: f64,
    /// How many locks each client got.
    pub served: Vec<u64>,
    /// In nanoseconds, from asking to having.
    pub acquire: Histogram<u64>,
    /// In nanoseconds, from one client's asking to give back until the next client has it. Of the hot key only.
    pub hand_over: Histogram<u64>,
}

/// What one client saw.
#[derive(Debug)]
struct Tally {
    client: usize,
    served: u64,
    /// With what it got after the end, having been in line before.
    finished: u64,
    acquire: Histogram<u64>,
    hand_over: Histogram<u64>,
}

/// Lets the clients work for this long. They come back with the result, ready for another turn.
pub async fn turn(team: &mut Team, load: Load, clients: usize, time: Duration) -> Result<Turn> {
    let (baton, before) = (Arc::new(Baton::default()), team.server_time()?);
    let end = Instant::now() + time;
    let mut running = JoinSet::new();
    let idle = team.lockers.split_off(clients);
    let clients = team.lockers.drain(..).zip(load.keys(clients));
    for (client, (locker, keys)) in clients.enumerate() {
        let baton = (load == Load::HotKey).then(|| Arc::clone(&baton));
        running.spawn(work(locker, client, keys, baton, end));
    }
    let mut done = Vec::new();
    while let Some(result) = timeout(time + PATIENCE, running.join_next())
        .await
        .context("the clients have stopped getting anywhere")?
    {
        done.push(result??);
    }
    done.sort_by_key(|(tally, _)| tally.client);
    let server_time = team.server_time()? - before;
    let finished: u64 = done.iter().map(|(tally, _)| tally.finished).sum();
    let (mut served, mut acquire, mut hand_over) = (Vec::new(), histogram(), histogram());
    for (tally, locker) in done {
        served.push(tally.served);
        acquire.add(&tally.acquire)?;
        hand_over.add(&tally.hand_over)?;
        team.lockers.push(locker);
    }
    team.lockers.extend(idle);
    Ok(Turn {
        pairs_per_second: served.iter().sum::<u64>() as f64 / time.as_secs_f64(),
        server_time_per_pair: server_time.as_secs_f64() * 1e6 / finished as f64,
        served,
        acquire,
        hand_over,
    })
}

/// One client's part.
async fn work(
    mut locker: Locker,
    client: usize,
    keys: Vec<String>,
    baton: Option<Arc<Baton>>,
    end: Instant,
) -> Result<(Tally, Locker)> {
    let mut tally = Tally {
        client,
        served: 0,
        finished: 0,
        acquire: histogram(),
        hand_over: histogram(),
    };
    for key in keys.iter().cycle() {
        let asked = Instant::now();
        if asked >= end {
            break;
        }
        locker.acquire(key).await?;
        let got = Instant::now();
        if got < end {
            tally.served += 1;
            tally.acquire.saturating_record(nanoseconds(got - asked));
        }
        if let Some(baton) = &baton {
            let before = baton.take(client)?;
            if let Some(given) = before.filter(|_| got < end) {
                tally.hand_over.saturating_record(nanoseconds(got - given));
            }
            baton.give();
        }
        locker.release(key).await?;
        tally.finished += 1;
    }
    Ok((tally, locker))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// From a microsecond to a minute, exact to one percent.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 2).expect("constant bounds that are valid")
}
