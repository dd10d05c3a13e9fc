//! A client that takes one lock after the other and releases each at once.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use uuid::Uuid;

use super::baton::Baton;
use super::locker::Locker;
use crate::database::Database;
use crate::provider::Provider;
use crate::stage::Stage;
use crate::turn::{Piece, Player};

/// Own keys are many and random, like the volumes of a volume manager.
const OWN_KEYS: usize = 100;

#[derive(Debug)]
pub struct Holder {
    locker: Locker,
    number: usize,
    keys: Vec<String>,
    done: usize,
    /// The baton of the hot key.
    baton: Option<Arc<Baton>>,
}

impl Holder {
    /// This many clients of one provider.
    pub async fn team(provider: Provider, stage: &Stage, database: &Database, clients: usize) -> Result<Vec<Holder>> {
        let mut team = Vec::new();
        for number in 0..clients {
            team.push(Holder {
                locker: Locker::connect(provider, stage, database, number).await?,
                number,
                keys: Vec::new(),
                done: 0,
                baton: None,
            });
        }
        Ok(team)
    }

    /// Keys for one turn, which no earlier turn had: many for each, or the same one for all.
    pub fn give_keys(team: &mut [Holder], hot: bool) {
        let new = || Uuid::new_v4().to_string();
        let (hot_key, baton) = (new(), Arc::new(Baton::default()));
        for holder in team {
            (holder.keys, holder.baton) = match hot {
                false => ((0..OWN_KEYS).map(|_| new()).collect(), None),
                true => (vec![hot_key.clone()], Some(Arc::clone(&baton))),
            };
        }
    }

    /// Makes each backend create all its plans.
    pub async fn warm_up(team: &mut [Holder]) -> Result<()> {
        for Holder { locker, .. } in team {
            // After the fifth execution Postgres decides whether to keep one generic plan.
            for _ in 0..10 {
                locker.acquire("warm-up").await?;
                locker.release("warm-up").await?;
            }
        }
        Ok(())
    }
}

impl Player for Holder {
    fn server_pids(&self) -> impl IntoIterator<Item = i32> {
        [self.locker.server_pid()]
    }

    async fn work(&mut self) -> Result<Piece> {
        let key = &self.keys[self.done % self.keys.len()];
        self.done += 1;
        let asked = Instant::now();
        self.locker.acquire(key).await?;
        let mut piece = Piece::since(asked);
        if let Some(baton) = &self.baton {
            let given = baton.take(self.number)?;
            piece.hand_over = given.map(|given| given.elapsed());
            baton.give();
        }
        self.locker.release(key).await?;
        Ok(piece)
    }
}
