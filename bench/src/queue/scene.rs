//! Where the queues are: a database, and a broker for the one that has it.

use anyhow::Result;

use super::broker::Mailbox;
use super::kind::Kind;
use crate::database::Database;
use crate::provider::Provider;
use crate::server::Server;
use crate::stage::Stage;

#[derive(Debug)]
pub struct Scene<'a> {
    pub database: Database,
    broker: Option<&'a Server>,
}

impl<'a> Scene<'a> {
    /// A database with the tables of all queues.
    pub async fn new(stage: &'a Stage, name: &str) -> Result<Scene<'a>> {
        let database = stage.database(name, include_str!("../../sql/queue/schema.sql")).await?;
        database.vacuum(Kind::TABLES).await?;
        Ok(Scene { database, broker: stage.server(Provider::RabbitMq).ok() })
    }

    /// The queues that take part.
    pub fn kinds(&self, kinds: &[Kind]) -> Vec<Kind> {
        let here = |kind: &&Kind| **kind != Kind::Broker || self.broker.is_some();
        kinds.iter().filter(here).copied().collect()
    }

    /// A connection to the broker, for a queue that has it.
    pub async fn mailbox(&self, kind: Kind) -> Result<Option<Mailbox>> {
        match self.broker {
            Some(server) if kind == Kind::Broker => Ok(Some(Mailbox::connect(server).await?)),
            _ => Ok(None),
        }
    }
}
