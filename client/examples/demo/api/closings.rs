//! Which requests are closed, as the database announces it.

use std::collections::HashSet;

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::database;
use crate::listener::Listener;
use crate::schema::CLOSED;

#[derive(Clone, Debug)]
pub struct Closings {
    closed: watch::Receiver<HashSet<i64>>,
}

impl Closings {
    /// Listens from now on.
    pub async fn listen() -> Result<Closings> {
        let mut listener = Listener::on(CLOSED, &database::config("director")?).await?;
        let (sender, closed) = watch::channel(HashSet::new());
        tokio::spawn(async move {
            // An end of the connection ends the sender, which those who wait notice.
            while let Ok(payloads) = listener.next().await {
                let ids = payloads
                    .iter()
                    .filter_map(|payload| payload.parse::<i64>().ok());
                sender.send_modify(|closed: &mut HashSet<i64>| closed.extend(ids));
            }
        });
        Ok(Closings { closed })
    }

    /// Waits until all of these are closed.
    pub async fn wait_for(&mut self, requests: &[i64]) -> Result<()> {
        let all = |closed: &HashSet<i64>| requests.iter().all(|id| closed.contains(id));
        self.closed
            .wait_for(all)
            .await
            .context("the connection that listens is gone")?;
        Ok(())
    }
}
