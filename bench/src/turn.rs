//! One turn: how much the clients of one contender do in a fixed time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::machine;

/// The time limit for the last clients in the wait queue to get their lock after the end of a turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// One client of a contender, with its own connection.
pub trait Player: Send + 'static {
    /// The processes that serve it.
    fn server_pids(&self) -> impl IntoIterator<Item = i32>;

    /// Does one piece of work: takes and releases a lock, makes an update, runs an operation.
    fn work(&mut self) -> impl Future<Output = Result<Piece>> + Send;
}

/// The times of one piece of work, as the client sees them.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// From the request to the answer; of a lock, from the request until the client has it.
    pub wait: Duration,
    /// From another client's request to release the hot key until this client had it.
    pub hand_over: Option<Duration>,
}

impl Piece {
    pub fn since(asked: Instant) -> Piece {
        Piece { wait: asked.elapsed(), hand_over: None }
    }
}

/// The result of one turn.
#[derive(Debug)]
pub struct Turn {
    pub per_second: f64,
    /// Processor time of the processes that serve the clients, in microseconds for each piece of work.
    pub server_time: f64,
    pub seen: Seen,
}

/// What the clients did in time.
#[derive(Debug, Default)]
pub struct Seen {
    /// The number of pieces of work of each client.
    pub served: Vec<usize>,
    pub wait: Vec<Duration>,
    pub hand_over: Vec<Duration>,
}

impl Seen {
    pub fn record(&mut self, piece: Piece) {
        self.wait.push(piece.wait);
        self.hand_over.extend(piece.hand_over);
    }
}

/// Lets this many players of the team work at once, for this time. A piece of work counts if it is finished in time.
pub async fn turn<P: Player>(team: &mut Vec<P>, clients: usize, time: Duration) -> Result<Turn> {
    let processes: BTreeSet<i32> = team[..clients].iter().flat_map(P::server_pids).collect();
    let before = server_time(&processes)?;
    let end = Instant::now() + time;
    let mut running = JoinSet::new();
    let idle = team.split_off(clients);
    for (client, player) in team.drain(..).enumerate() {
        running.spawn(async move { (client, work_until(player, end).await) });
    }
    let done = timeout(time + PATIENCE, running.join_all()).await;
    let mut done = done.context("the clients have stopped getting anywhere")?;
    let server_time = server_time(&processes)? - before;
    done.sort_by_key(|(client, _)| *client);

    let (mut all, mut seen) = (0, Seen::default());
    for (_, result) in done {
        let (player, pieces, of_client) = result?;
        team.push(player);
        all += pieces;
        seen.served.push(of_client.wait.len());
        seen.wait.extend(of_client.wait);
        seen.hand_over.extend(of_client.hand_over);
    }
    team.extend(idle);
    Ok(Turn {
        per_second: seen.wait.len() as f64 / time.as_secs_f64(),
        server_time: server_time.as_secs_f64() * 1e6 / f64::from(all),
        seen,
    })
}

/// Returns the player, the number of its pieces of work, including those after the end, and its times.
async fn work_until<P: Player>(mut player: P, end: Instant) -> Result<(P, u32, Seen)> {
    let (mut pieces, mut seen) = (0, Seen::default());
    while Instant::now() < end {
        let piece = player.work().await?;
        pieces += 1;
        if Instant::now() < end {
            seen.record(piece);
        }
    }
    Ok((player, pieces, seen))
}

/// The processor time that these processes have used.
pub fn server_time(processes: &BTreeSet<i32>) -> Result<Duration> {
    let times = processes.iter().map(|&pid| machine::processor_time(pid));
    times.sum()
}
