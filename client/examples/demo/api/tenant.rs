//! A user: thinks, asks for something, waits until it is done.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::sync::watch;
use tokio::time::sleep;
use volguard::Volguard;

use super::ask::{Answer, Wish};
use super::closings::Closings;
use super::screen::{Screen, Shown};
use super::tally::Tally;
use crate::operation::Operation;

/// How long a user thinks, in milliseconds.
const THOUGHT: std::ops::Range<u64> = 150..850;

/// How often a user goes at a volume with two requests at once, of which one has to lose.
const RUSH: f64 = 0.15;

#[derive(Debug)]
pub(super) struct Tenant {
    volguard: Volguard,
    tally: Arc<Tally>,
    closings: Closings,
    dice: StdRng,
}

impl Tenant {
    pub(super) fn new(
        volguard: Volguard,
        tally: Arc<Tally>,
        closings: Closings,
        dice: StdRng,
    ) -> Tenant {
        Tenant {
            volguard,
            tally,
            closings,
            dice,
        }
    }

    pub(super) async fn live(
        mut self,
        operations: u64,
        enough: watch::Receiver<bool>,
    ) -> Result<()> {
        loop {
            let screen = Screen::look(self.volguard.pool()).await?;
            // The pace of the load, not a wait for anything.
            sleep(Duration::from_millis(self.dice.random_range(THOUGHT))).await;
            let mut wishes = self.think(&screen);
            let limit = enough.borrow().then_some(operations);
            wishes.retain(|_| self.tally.ask(limit));
            match wishes.as_slice() {
                [] => return Ok(()),
                [wish] => self.pursue(wish).await?,
                [one, other, ..] => {
                    tokio::try_join!(self.pursue(one), self.pursue(other))?;
                }
            }
        }
    }

    fn think(&mut self, screen: &Screen) -> Vec<Wish> {
        let contested = match self.dice.random_bool(RUSH) {
            true => screen.contested(&mut self.dice),
            false => None,
        };
        let Some(volume) = contested else {
            let (operation, volume) = screen.choose(&mut self.dice);
            return vec![self.wish(operation, volume.cloned())];
        };
        let mut rivals = [Operation::Extend, Operation::Attach, Operation::Delete];
        rivals.shuffle(&mut self.dice);
        rivals[..2]
            .iter()
            .map(|operation| self.wish(*operation, Some(volume.clone())))
            .collect()
    }

    fn wish(&mut self, operation: Operation, volume: Option<Shown>) -> Wish {
        let instances = ["web", "db", "cache", "build"];
        let instance = instances.choose(&mut self.dice).unwrap_or(&"web");
        Wish {
            operation,
            size: match volume {
                None => self.dice.random_range(2..=4),
                Some(_) => self.dice.random_range(1..=3),
            },
            volume,
            instance: format!("{instance}-{}", self.dice.random_range(1..=9)),
        }
    }

    async fn pursue(&self, wish: &Wish) -> Result<()> {
        self.tally.asked(wish.operation);
        match wish.ask(&self.volguard).await? {
            Answer::Refused(unmet) => self.tally.refused(wish.operation, &unmet),
            Answer::Accepted(request) => {
                self.closings.clone().wait_for(&[request]).await?;
                self.tally.closed();
            }
        }
        Ok(())
    }
}
