//! A manager: takes work and does it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::broker::Mailbox;
use super::kind::Kind;
use super::scene::Scene;
use crate::connection::{Connection, With, connect_listening};

const SUBMIT: usize = 0;
const FINISH: usize = 1;
const TAKE: usize = 2;

/// How long one `take` waits for work.
const WAIT: Duration = Duration::from_secs(1);

/// How often a manager asks that nothing wakes: the default of pgmq.read_with_poll.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Manager {
    kind: Kind,
    connection: Connection,
    service_id: i64,
    /// Notifications of submits.
    heard: Option<Arc<Notify>>,
    broker: Option<Mailbox>,
}

/// A piece of work that a manager has.
#[derive(Debug)]
pub struct Work {
    pub token: i64,
    pub volume: Uuid,
}

impl Manager {
    pub async fn connect(scene: &Scene<'_>, kind: Kind, number: usize) -> Result<Manager> {
        let database = &scene.database;
        let (client, service_id) = database.connect_service(&format!("{}, {number}", kind.name())).await?;
        let (client, heard) = match kind {
            Kind::HandNotify => {
                let (client, heard) = connect_listening(database.role_url(), "bench").await?;
                (client, Some(heard))
            }
            _ => (client, None),
        };
        let mut statements = vec![kind.submit(), kind.finish()];
        statements.extend(kind.take());
        let connection = Connection::prepare(client, &statements).await?;
        Ok(Manager { kind, connection, service_id, heard, broker: scene.mailbox(kind).await? })
    }

    /// The processes that serve it.
    pub fn server_pids(&self) -> Vec<i32> {
        let broker = self.broker.iter().map(|broker| broker.server_pid);
        broker.chain([self.connection.server_pid()]).collect()
    }

    pub async fn submit(&mut self, volume: &Uuid) -> Result<()> {
        let submitted = self.connection.row(SUBMIT, &[volume]).await?.context("refused")?;
        submitted.try_get::<_, Option<i64>>(0)?.context("refused")?;
        match &mut self.broker {
            Some(broker) => broker.publish(volume).await,
            None => Ok(()),
        }
    }

    /// Takes what is there, or what comes within a second.
    pub async fn take(&mut self) -> Result<Option<Work>> {
        if let Some(broker) = &mut self.broker {
            return broker.next(WAIT).await;
        }
        let found = self.take_once().await?;
        if found.is_some() || self.kind == Kind::Volguard {
            return Ok(found);
        }
        match &self.heard {
            Some(heard) => drop(timeout(WAIT, heard.notified()).await),
            None => sleep(POLL).await,
        }
        self.take_once().await
    }

    /// Takes work of which there is some; another one may have it locked at this moment.
    pub async fn take_waiting(&self) -> Result<Work> {
        loop {
            if let Some(work) = self.take_once().await? {
                return Ok(work);
            }
        }
    }

    async fn take_once(&self) -> Result<Option<Work>> {
        if let Some(broker) = &self.broker {
            return broker.get().await;
        }
        let with: With<'_> = if self.kind.names_the_service() { &[&self.service_id] } else { &[] };
        let row = self.connection.row(TAKE, with).await?;
        row.map(|row| Ok(Work { token: row.try_get(0)?, volume: row.try_get(1)? })).transpose()
    }

    pub async fn finish(&self, work: &Work) -> Result<()> {
        let with: With<'_> = if self.broker.is_some() { &[&work.volume] } else { &[&work.token] };
        let updated: i64 = self.connection.value(FINISH, with).await?;
        ensure!(updated == 1, "the work was lost");
        match &self.broker {
            Some(broker) => broker.acknowledge(work).await,
            None => Ok(()),
        }
    }

    /// Takes nothing from now on, until it is asked to take again.
    pub async fn rest(&mut self) -> Result<()> {
        match &mut self.broker {
            Some(broker) => broker.rest().await,
            None => Ok(()),
        }
    }
}
