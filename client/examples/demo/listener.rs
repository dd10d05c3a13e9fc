//! Waiting for notifications, on a connection of its own.

use std::collections::VecDeque;
use std::future::poll_fn;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

#[derive(Debug)]
pub struct Listener {
    payloads: mpsc::UnboundedReceiver<String>,
    /// Dropped, it ends the connection.
    _client: Client,
}

impl Listener {
    pub async fn on(channel: &str, config: &Config) -> Result<Listener> {
        let (client, mut connection) = config.connect(NoTls).await?;
        let (sender, payloads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notification) = message {
                    // Nobody listens any more: the client goes as well, which ends the loop.
                    let _ = sender.send(notification.payload().to_owned());
                }
            }
        });
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok(Listener {
            payloads,
            _client: client,
        })
    }

    /// The payloads that have come, one at least.
    ///
    /// May be dropped and called again: nothing is lost.
    pub async fn next(&mut self) -> Result<VecDeque<String>> {
        let first = self.payloads.recv().await;
        let first = first.context("the connection that listens is gone")?;
        let mut batch = VecDeque::from([first]);
        while let Ok(another) = self.payloads.try_recv() {
            batch.push_back(another);
        }
        Ok(batch)
    }
}
