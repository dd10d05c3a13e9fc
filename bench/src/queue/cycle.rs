//! Clients that each submit work, take some, and finish it, over and over.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use uuid::Uuid;

use super::kind::Kind;
use super::manager::Manager;
use super::scene::Scene;
use crate::turn::{Piece, Player};

#[derive(Debug)]
pub struct Cycle {
    manager: Manager,
    /// Volumes without work. One that is finished is submitted again after all others.
    volumes: VecDeque<Uuid>,
    /// Whether the time to wait is that of the take, rather than that of the whole cycle.
    times_take: bool,
    pub done: i64,
}

impl Cycle {
    /// So many clients, each with volumes of its own to begin with.
    pub async fn team(scene: &Scene<'_>, kind: Kind, clients: usize, times_take: bool) -> Result<Vec<Cycle>> {
        let mut team = Vec::new();
        for (number, volumes) in scene.database.volumes().await?.into_iter().take(clients).enumerate() {
            let manager = Manager::connect(scene, kind, number).await?;
            team.push(Cycle { manager, volumes: volumes.into(), times_take, done: 0 });
        }
        Ok(team)
    }
}

impl Player for Cycle {
    fn server_pids(&self) -> impl IntoIterator<Item = i32> {
        self.manager.server_pids()
    }

    async fn work(&mut self) -> Result<Piece> {
        let began = Instant::now();
        let volume = self.volumes.pop_front().expect("as many are taken as are submitted");
        self.manager.submit(&volume).await?;
        let asked = if self.times_take { Instant::now() } else { began };
        let work = self.manager.take_waiting().await?;
        let taken = Piece::since(asked);
        self.manager.finish(&work).await?;
        self.volumes.push_back(work.volume);
        self.done += 1;
        Ok(if self.times_take { taken } else { Piece::since(began) })
    }
}
