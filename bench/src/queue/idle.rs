//! Managers that wait for work: how long it takes from the answer to a submit until one of them has the work.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::kind::Kind;
use super::manager::Manager;
use super::scene::Scene;
use crate::connection::Connection;
use crate::database::Database;
use crate::turn::{Piece, Seen, Turn, server_time};

/// Between the end of one piece of work and the submit of the next; by then all managers wait again.
const PAUSE: Duration = Duration::from_millis(5);

/// A contender of the wake-up.
#[derive(Debug)]
pub enum Idle {
    Queue(Queue),
    /// No queue at all: an `UPDATE` of one row, for what a commit takes.
    Commit(Connection),
}

#[derive(Debug)]
pub struct Queue {
    /// It only submits.
    api: Manager,
    managers: Vec<Manager>,
    volumes: VecDeque<Uuid>,
    pub done: i64,
}

impl Idle {
    pub async fn commit(database: &Database) -> Result<Idle> {
        let update = "UPDATE commits SET number = number + 1 RETURNING number";
        Ok(Idle::Commit(Connection::prepare(database.connect().await?, &[update]).await?))
    }

    pub async fn queue(scene: &Scene<'_>, kind: Kind, managers: usize) -> Result<Idle> {
        let api = Manager::connect(scene, kind, managers).await?;
        let mut team = Vec::new();
        for number in 0..managers {
            team.push(Manager::connect(scene, kind, number).await?);
        }
        let volumes = scene.database.volumes().await?.concat().into();
        Ok(Idle::Queue(Queue { api, managers: team, volumes, done: 0 }))
    }

    pub async fn turn(&mut self, managers: usize, time: Duration) -> Result<Turn> {
        match self {
            Idle::Queue(queue) => queue.turn(managers, time).await,
            Idle::Commit(connection) => commits(connection, managers, time).await,
        }
    }
}

impl Queue {
    /// One piece of work at a time for so many managers.
    async fn turn(&mut self, managers: usize, time: Duration) -> Result<Turn> {
        let stopped = Arc::new(AtomicBool::new(false));
        let (report, mut reports) = unbounded_channel();
        let mut team = JoinSet::new();
        let resting = self.managers.split_off(managers);
        let all = self.managers.iter().chain([&self.api]);
        let processes: BTreeSet<i32> = all.flat_map(Manager::server_pids).collect();
        for manager in self.managers.drain(..) {
            team.spawn(wait_for_work(manager, Arc::clone(&stopped), report.clone()));
        }
        // Without it the reports end when all managers have failed.
        drop(report);
        sleep(PAUSE).await;
        let (before, end) = (server_time(&processes)?, Instant::now() + time);
        let mut seen = Seen { served: vec![0; managers], ..Seen::default() };
        let result = async {
            while Instant::now() < end {
                let volume = self.volumes.pop_front().context("no volume is left")?;
                self.api.submit(&volume).await?;
                let answered = Instant::now();
                let (volume, taken) = reports.recv().await.context("the managers have failed")?;
                self.volumes.push_back(volume);
                self.done += 1;
                seen.record(Piece { wait: taken.saturating_duration_since(answered), hand_over: None });
                sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        let result = result.await;
        let server_time = server_time(&processes)? - before;
        stopped.store(true, Ordering::Relaxed);
        for manager in team.join_all().await {
            self.managers.push(manager?);
        }
        self.managers.extend(resting);
        result?;
        let pieces = seen.wait.len();
        Ok(Turn {
            per_second: pieces as f64 / time.as_secs_f64(),
            server_time: server_time.as_secs_f64() * 1e6 / pieces as f64,
            seen,
        })
    }
}

/// Takes and finishes work until it is stopped; reports of each piece when it was taken, once it is finished.
async fn wait_for_work(
    mut manager: Manager,
    stopped: Arc<AtomicBool>,
    report: UnboundedSender<(Uuid, Instant)>,
) -> Result<Manager> {
    while !stopped.load(Ordering::Relaxed) {
        if let Some(work) = manager.take().await? {
            let taken = Instant::now();
            manager.finish(&work).await?;
            report.send((work.volume, taken))?;
        }
    }
    manager.rest().await?;
    Ok(manager)
}

/// Commits at the same pace, by one client, whatever the number of managers.
async fn commits(connection: &Connection, managers: usize, time: Duration) -> Result<Turn> {
    let processes = BTreeSet::from([connection.server_pid()]);
    let (before, end) = (server_time(&processes)?, Instant::now() + time);
    let mut seen = Seen { served: vec![0; managers], ..Seen::default() };
    while Instant::now() < end {
        let asked = Instant::now();
        connection.row(0, &[]).await?;
        seen.record(Piece::since(asked));
        sleep(PAUSE).await;
    }
    let (used, pieces) = (server_time(&processes)? - before, seen.wait.len() as f64);
    Ok(Turn { per_second: pieces / time.as_secs_f64(), server_time: used.as_secs_f64() * 1e6 / pieces, seen })
}
