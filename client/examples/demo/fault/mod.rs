//! The faults: one manager is killed, another paused beyond its lease, each in the middle of its work.

mod aftermath;
mod caught;

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use volguard::Volguard;

use crate::api::Closings;
use crate::audience::Audience;
use crate::cast::Cast;
use crate::event::Event;
use crate::player::Player;
use crate::storage::Storage;
use crate::timeline::Timeline;
pub use aftermath::Aftermath;
use caught::Caught;

/// How often a manager is looked at in the hope of two operations under way, before one is enough.
const TRIES_FOR_TWO: usize = 25;

/// What faults need of the play.
#[derive(Debug)]
pub struct Faults<'a> {
    pub volguard: &'a Volguard,
    pub storage: &'a Storage,
    pub cast: &'a Cast,
    pub audience: &'a Audience,
    pub timeline: Rc<Timeline>,
    pub closings: Closings,
}

/// A manager that was paused, went on, and had lost its locks meanwhile.
#[derive(Debug)]
pub struct Zombie {
    pub name: String,
    pub service_id: i64,
}

impl Faults<'_> {
    /// Two managers, one to kill and one to pause.
    pub fn victims(managers: usize, seed: u64) -> [String; 2] {
        let mut dice = StdRng::seed_from_u64(seed);
        let numbers: Vec<usize> = (1..=managers).collect();
        let killed = numbers.choose(&mut dice).copied().unwrap_or(1);
        let paused = (killed + dice.random_range(0..managers - 1)) % managers + 1;
        [killed, paused].map(|number| format!("manager-{number}"))
    }

    /// SIGKILL in the middle of an operation. A replacement of the same name starts once the survivors have repaired everything.
    pub async fn kill(&self, name: &str) -> Result<Aftermath> {
        let (player, caught) = self.catch(name).await?;
        self.cast.dismiss(player.pid());
        player.kill().await?;
        self.timeline
            .say("director", &format!("kills {name} (SIGKILL) {caught}"));
        let aftermath = self.watch_repair(caught, "SIGKILL").await?;
        self.cast.replace(name)?;
        self.timeline
            .say("director", &format!("starts another {name}"));
        Ok(aftermath)
    }

    /// SIGSTOP in the middle of an operation, until others have taken over everything, and then SIGCONT.
    pub async fn pause(&self, name: &str) -> Result<(Aftermath, Zombie)> {
        let (player, caught) = self.catch(name).await?;
        let service_id = caught.service_id;
        self.timeline
            .say("director", &format!("pauses {name} (SIGSTOP) {caught}"));
        let aftermath = self.watch_repair(caught, "SIGSTOP").await?;

        let mut events = self.audience.subscribe();
        self.timeline
            .say("director", &format!("lets {name} go on (SIGCONT)"));
        player.resume()?;
        self.cast.put_back(player);
        // It notices, tries all it can, and becomes another service.
        let reborn = |event: &Event| matches!(event, Event::Registered { .. });
        heard(&mut events, name, reborn).await?;
        let zombie = Zombie {
            name: name.to_owned(),
            service_id,
        };
        Ok((aftermath, zombie))
    }

    /// Waits for the manager to be inside a volume, stops it there, and looks what it is doing. It stays stopped.
    async fn catch(&self, name: &str) -> Result<(Player, Caught)> {
        let mut events = self.audience.subscribe();
        let player = self.cast.take(name)?;
        let mut wanted = [2; TRIES_FOR_TWO].into_iter().chain(std::iter::repeat(1));
        loop {
            heard(&mut events, name, |event| {
                matches!(event, Event::Entered { .. })
            })
            .await?;
            player.hold().await?;
            let service_id = self.audience.service_of(name)?;
            let caught = Caught::look(self.volguard, self.storage, name, service_id).await?;
            if Some(caught.under_way(self.storage)?) >= wanted.next() {
                return Ok((player, caught));
            }
            player.resume()?;
        }
    }

    async fn watch_repair(&self, caught: Caught, signal: &'static str) -> Result<Aftermath> {
        let requests: Vec<i64> = caught.interrupted.iter().map(|work| work.request).collect();
        self.closings.clone().wait_for(&requests).await?;
        let aftermath = Aftermath::read(self.volguard, caught, signal).await?;
        for line in aftermath.lines() {
            self.timeline.say("director", &line);
        }
        ensure!(
            aftermath.is_complete(),
            "requests were closed that nobody repaired"
        );
        Ok(aftermath)
    }
}

/// Waits until the manager tells such an event.
async fn heard(
    events: &mut broadcast::Receiver<(String, Event)>,
    name: &str,
    wanted: impl Fn(&Event) -> bool,
) -> Result<()> {
    loop {
        match events.recv().await {
            Ok((teller, event)) if teller == name && wanted(&event) => return Ok(()),
            // There will be another one.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Err(RecvError::Closed).context("nobody listens"),
        }
    }
}
