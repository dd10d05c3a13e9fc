//! A database whose queue is in one state, and the clients that work there.

use anyhow::Result;
use tokio_postgres::Client;

use super::cycle::Cycle;
use super::kind::Kind;
use super::scene::Scene;
use crate::stage::Stage;

/// What a queue has behind it.
#[derive(Debug, Clone, Copy)]
pub enum Past {
    /// So much work waits.
    Waiting(u32),
    /// So many hundreds of jobs have been done while a transaction was open, which stays open.
    Done(u32),
}

impl Past {
    pub fn of(self, kind: Kind) -> String {
        let kind = kind.name();
        match self {
            Past::Waiting(rows) => format!("{kind}: {rows} waiting"),
            Past::Done(hundreds) => format!("{kind}: {} jobs, one transaction", u64::from(hundreds) * 100),
        }
    }
}

#[derive(Debug)]
pub struct Site {
    pub team: Vec<Cycle>,
    /// With the transaction that stays open.
    _open: Option<Client>,
}

impl Site {
    pub async fn prepare(stage: &Stage, (kind, past): (Kind, Past), number: usize, clients: usize) -> Result<Site> {
        let scene = Scene::new(stage, &format!("queue_{number}")).await?;
        let team = Cycle::team(&scene, kind, clients, true).await?;
        let database = scene.database;
        let [fill, wear] = kind.preparation();
        let mut open = None;
        match past {
            Past::Waiting(rows) => {
                let rows = i32::try_from(rows)?;
                let volumes = include_str!("../../sql/queue/waiting_volumes.sql");
                database.superuser.execute(volumes, &[&rows]).await?;
                database.superuser.execute(fill, &[&rows]).await?;
                database.vacuum(Kind::TABLES).await?;
            }
            Past::Done(hundreds) => {
                let transaction = database.connect().await?;
                transaction.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT").await?;
                open = Some(transaction);
                database.superuser.batch_execute(wear).await?;
                let service = database.register_services(1).await?[0];
                // As the role: of a superuser each call looks whose code it may run.
                let call = format!("CALL wear({service}, {hundreds})");
                database.connect().await?.batch_execute(&call).await?;
                database.superuser.batch_execute("ANALYZE").await?;
            }
        }
        Ok(Site { team, _open: open })
    }
}
