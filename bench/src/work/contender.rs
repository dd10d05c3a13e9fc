//! Who does the work, each statement prepared once a connection.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use crate::machine;
use crate::servers::Postgres;
use crate::turn;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// `start_work` and `finish_work`.
    Together,
    /// `acquire`, `conditional_update`, `conditional_update`, `release`.
    Separate,
    /// The two changes of `Together` as SQL, without what makes them a lock that outlives its holder.
    ByHand,
}

impl Contender {
    pub const ALL: [Contender; 3] = [Contender::Together, Contender::Separate, Contender::ByHand];

    fn statements(self) -> &'static [&'static str] {
        match self {
            Contender::Together => &[
                include_str!("../../sql/work/start_work.sql"),
                include_str!("../../sql/work/finish_work.sql"),
            ],
            Contender::Separate => &[
                include_str!("../../sql/work/acquire.sql"),
                include_str!("../../sql/work/begin.sql"),
                include_str!("../../sql/work/end.sql"),
                include_str!("../../sql/work/release.sql"),
            ],
            Contender::ByHand => &[
                include_str!("../../sql/work/start_by_hand.sql"),
                include_str!("../../sql/work/finish_by_hand.sql"),
            ],
        }
    }
}

/// A connection of a service that works on its volumes.
#[derive(Debug)]
pub struct Worker {
    contender: Contender,
    client: Client,
    statements: Vec<Statement>,
    backend: i32,
    service_id: i64,
    volumes: Vec<Uuid>,
}

impl Worker {
    pub async fn prepare(
        contender: Contender,
        client: Client,
        number: usize,
        volumes: Vec<Uuid>,
    ) -> Result<Self> {
        let mut statements = Vec::new();
        for sql in contender.statements() {
            statements.push(client.prepare(sql).await?);
        }
        let host = format!("{contender:?}-{number}");
        let register = "SELECT volguard.register_service($1, 'bench', lease => '1 day')";
        let service_id = client.query_one(register, &[&host]).await?.try_get(0)?;
        let backend = Postgres::backend(&client).await?;
        Ok(Worker {
            contender,
            client,
            statements,
            backend,
            service_id,
            volumes,
        })
    }

    /// The states that the first volume goes through, but for its growing size.
    pub async fn sample(&self) -> Result<[Value; 2]> {
        let mut states = self.work(self.volumes[0]).await?;
        for state in &mut states {
            state["size"].take();
        }
        Ok(states)
    }

    /// A whole operation. Nobody else works on the volume, so a refusal is an error.
    async fn work(&self, id: Uuid) -> Result<[Value; 2]> {
        match self.contender {
            Contender::Separate => self.in_four(id).await,
            Contender::Together => self.in_two(&id.to_string()).await,
            Contender::ByHand => self.in_two(&id).await,
        }
    }

    async fn in_two(&self, id: &(dyn ToSql + Sync)) -> Result<[Value; 2]> {
        let row = self.answer(0, &[&self.service_id, id]).await?;
        let token: Option<i64> = row.try_get(0)?;
        let token = token.context("the start was refused")?;
        let end = self.answer(1, &[&token]).await?;
        Ok([row.try_get(1)?, end.try_get(0)?])
    }

    async fn in_four(&self, id: Uuid) -> Result<[Value; 2]> {
        let row = self.answer(0, &[&self.service_id, &id.to_string()]).await?;
        let token: Option<i64> = row.try_get(0)?;
        let token = token.context("the acquire was refused")?;
        let begin = self.answer(1, &[&id, &token]).await?;
        let end = self.answer(2, &[&id, &token]).await?;
        let released: bool = self.answer(3, &[&token]).await?.try_get(0)?;
        ensure!(released, "the lock was lost");
        Ok([begin.try_get(0)?, end.try_get(0)?])
    }

    async fn answer(&self, statement: usize, params: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        let statement = &self.statements[statement];
        let row = self.client.query_opt(statement, params).await?;
        row.context("refused")
    }
}

impl turn::Worker for Worker {
    fn server_time(&self) -> Result<Duration> {
        machine::processor_time(self.backend)
    }

    /// Works on one volume after the other until the time is over, and returns on how many.
    async fn work_until(&self, end: Instant) -> Result<u64> {
        for (done, &id) in (0_u64..).zip(self.volumes.iter().cycle()) {
            if Instant::now() >= end {
                return Ok(done);
            }
            self.work(id).await?;
        }
        bail!("a worker without volumes")
    }
}
