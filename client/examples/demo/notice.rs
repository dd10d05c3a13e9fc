//! Notifications of the database: who has changed the status of which volume.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::database;
use crate::timeline::Timeline;

/// See `schema.sql`.
#[derive(Clone, Debug, Deserialize)]
pub struct Notice {
    pub volume: String,
    pub request: i64,
    /// The status before; none if the row is new.
    pub before: Option<String>,
    pub status: String,
    /// Whether a manager has taken up the work.
    pub begun: bool,
    /// Which attempt that is.
    pub attempt: u32,
    /// Whether it was a crash rule.
    pub crashed: bool,
    pub by: String,
    /// When it was heard, in seconds since the demo began.
    #[serde(default)]
    pub at: f64,
}

impl Notice {
    /// Whether the piece of work has come to its end: its resource is at rest, or its crash rule was applied.
    pub fn is_end(&self) -> bool {
        self.crashed || self.is_at_rest()
    }

    pub fn is_at_rest(&self) -> bool {
        matches!(&*self.status, "available" | "error" | "deleted")
    }
}

/// All notices that have been heard, in order. Clones share them.
#[derive(Clone, Debug)]
pub struct Notices {
    heard: watch::Receiver<Vec<Notice>>,
    /// The connection ends with it.
    _client: Arc<Client>,
}

impl Notices {
    /// Listens from now on, on a connection of its own.
    pub async fn listen(timeline: Timeline) -> Result<Notices> {
        let config = database::config(&timeline.name)?;
        let (client, mut connection) = config.connect(NoTls).await?;
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(message) = message
                    && let Ok(notice) = serde_json::from_str::<Notice>(message.payload())
                {
                    let at = timeline.seconds();
                    sender.send_modify(|heard| heard.push(Notice { at, ..notice }));
                }
            }
        });
        client.batch_execute("LISTEN volguard_demo").await?;
        Ok(Notices { heard: receiver, _client: Arc::new(client) })
    }

    /// Waits for the next ones. May be dropped and called again.
    pub async fn changed(&mut self) -> Result<()> {
        self.heard.changed().await.context("the connection that listens")
    }

    pub fn count(&self) -> usize {
        self.heard.borrow().len()
    }

    /// Those after the first `count`.
    pub fn after(&self, count: usize) -> Vec<Notice> {
        self.heard.borrow()[count..].to_vec()
    }

    /// Waits for such a one, after the first `count`.
    pub async fn first(&self, count: usize, wanted: impl Fn(&Notice) -> bool) -> Result<Notice> {
        let find = |heard: &[Notice]| heard[count..].iter().find(|one| wanted(one)).cloned();
        self.wait_until(|heard| find(heard).is_some()).await?;
        find(&self.heard.borrow()).context("it was there")
    }

    /// Waits until what has been heard is like that.
    pub async fn wait_until(&self, holds: impl Fn(&[Notice]) -> bool) -> Result<()> {
        let mut receiver = self.heard.clone();
        let heard = receiver.wait_for(|heard| holds(heard)).await;
        heard.map(drop).context("the connection that listens")
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.as_deref().unwrap_or("new");
        let Notice { volume, status, attempt, by, .. } = self;
        match self.begun {
            true => write!(f, "{volume} {status}: attempt {attempt}, by {by}"),
            false if self.crashed => write!(f, "{volume} {before} -> {status}, by its crash rule"),
            false => write!(f, "{volume} {before} -> {status}, by {by}"),
        }
    }
}
