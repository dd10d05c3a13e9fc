//! What a user sees of the volumes, a little out of date as screens are.

use anyhow::Result;
use deadpool_postgres::Pool;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

use crate::operation::Operation;

/// More MiB are not asked for.
const LARGEST: i32 = 12;

/// Volumes without snapshots, which can be deleted, that users keep around.
const PLAIN_VOLUMES: usize = 8;

/// Snapshots of one volume.
const MANY_SNAPSHOTS: i32 = 8;

#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) id: Uuid,
    pub(super) size: i32,
    status: String,
    snapshots: i32,
}

#[derive(Debug)]
pub(super) struct Screen {
    volumes: Vec<Shown>,
}

impl Screen {
    pub(super) async fn look(pool: &Pool) -> Result<Screen> {
        let sql = "SELECT id, size, status, snapshots FROM volguard_demo.volumes WHERE NOT deleted";
        let client = pool.get().await?;
        let statement = client.prepare_cached(sql).await?;
        let shown = |row: &tokio_postgres::Row| {
            Ok(Shown {
                id: row.try_get(0)?,
                size: row.try_get(1)?,
                status: row.try_get(2)?,
                snapshots: row.try_get(3)?,
            })
        };
        let rows = client.query(&statement, &[]).await?;
        Ok(Screen {
            volumes: rows.iter().map(shown).collect::<Result<_>>()?,
        })
    }

    /// An operation, and the volume it is for; none for a new one.
    pub(super) fn choose(&self, dice: &mut StdRng) -> (Operation, Option<&Shown>) {
        let operation = self.wish(dice);
        // Some don't look at the status before they click.
        let careless = dice.random_bool(0.2);
        let fitting: Vec<&Shown> = self
            .volumes
            .iter()
            .filter(|volume| careless || self.fits(operation, volume))
            .collect();
        match fitting.choose(dice) {
            Some(volume) if operation != Operation::Create => (operation, Some(volume)),
            _ => (Operation::Create, None),
        }
    }

    /// A volume that looks free, for several to go at.
    pub(super) fn contested(&self, dice: &mut StdRng) -> Option<&Shown> {
        let free: Vec<&Shown> = self
            .volumes
            .iter()
            .filter(|volume| volume.status == "available")
            .collect();
        free.choose(dice).copied()
    }

    fn wish(&self, dice: &mut StdRng) -> Operation {
        if self.plain() < PLAIN_VOLUMES {
            return Operation::Create;
        }
        let wishes = [
            (Operation::Create, 6),
            (Operation::Extend, 24),
            (Operation::Snapshot, 20),
            (Operation::Attach, 20),
            (Operation::Detach, 18),
            (Operation::Delete, 12),
        ];
        let wish = wishes.choose_weighted(dice, |(_, weight)| *weight);
        wish.map_or(Operation::Create, |(operation, _)| *operation)
    }

    fn fits(&self, operation: Operation, volume: &Shown) -> bool {
        let status = volume.status.as_str();
        match operation {
            Operation::Extend => status == "available" && volume.size < LARGEST,
            Operation::Attach => status == "available",
            Operation::Detach => status == "in-use",
            Operation::Delete => matches!(status, "available" | "error") && volume.snapshots == 0,
            // The same few volumes again and again, since a volume with snapshots can't be deleted.
            Operation::Snapshot => {
                matches!(status, "available" | "in-use")
                    && (self.plain() > PLAIN_VOLUMES || volume.snapshots > 0)
                    && volume.snapshots < MANY_SNAPSHOTS
            }
            Operation::Create | Operation::Recover | Operation::Discard => false,
        }
    }

    fn plain(&self) -> usize {
        self.volumes
            .iter()
            .filter(|volume| volume.snapshots == 0)
            .count()
    }
}
