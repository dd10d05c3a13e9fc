//! A contestant for a lock, by SQL or by the client crate.

use std::time::Duration;

use anyhow::Context;
use volguard::{Lock, Session};

use super::{Ledger, Sql};

/// How long a contestant waits for its turn; every contest is shorter.
const WAIT: Duration = Duration::from_secs(60);

/// A contestant.
#[derive(Debug)]
pub enum Party {
    /// One that speaks SQL itself.
    Plain {
        /// Its connection.
        sql: Sql,
        /// Its service.
        service: i64,
    },
    /// One that uses the client crate.
    Client(Session),
    /// One that takes no lock at all but makes up tokens from this number on: the check of the others must find it.
    Reckless(i64),
}

/// A lock of a contestant.
#[derive(Debug)]
pub enum Held {
    /// By SQL.
    Plain(i64),
    /// By the client crate.
    Client(Lock),
    /// No lock at all.
    Nothing(i64),
}

impl Held {
    /// Its token.
    #[must_use]
    pub fn token(&self) -> i64 {
        match self {
            Held::Plain(token) | Held::Nothing(token) => *token,
            Held::Client(lock) => lock.token(),
        }
    }
}

impl Party {
    /// Takes the lock, with this wait at most.
    ///
    /// # Errors
    /// An error of the server or of the client.
    pub async fn acquire(&mut self, key: &str, wait: Duration) -> anyhow::Result<Option<Held>> {
        Ok(match self {
            Party::Plain { sql, service } => sql.acquire(*service, key, wait).await?.map(Held::Plain),
            Party::Client(session) => {
                let lock = session.acquire(("volume", key)).wait(wait).await?;
                lock.map(Held::Client)
            }
            Party::Reckless(token) => {
                *token += 1;
                Some(Held::Nothing(*token))
            }
        })
    }

    /// Releases it.
    ///
    /// # Errors
    /// An error of the server or of the client.
    pub async fn release(&self, held: Held) -> anyhow::Result<bool> {
        Ok(match (self, held) {
            (Party::Plain { sql, .. }, Held::Plain(token)) => sql.release(token).await?,
            (_, Held::Client(lock)) => lock.release().await?,
            _ => true,
        })
    }

    /// Visits the keys one after the other, from the `start`th on.
    ///
    /// # Errors
    /// Errors of [`Ledger::visit`], of acquire and of release.
    pub async fn contest(
        &mut self,
        ledger: &Ledger,
        keys: &[String],
        start: usize,
        rounds: usize,
    ) -> anyhow::Result<()> {
        for round in 0..rounds {
            let key = &keys[(start + round) % keys.len()];
            let held = self.acquire(key, WAIT).await?.context("not free in time")?;
            ledger.visit(key, held.token()).await?;
            let released = self.release(held).await?;
            anyhow::ensure!(released, "the lock of {key} was gone at its release");
        }
        Ok(())
    }
}
