//! Who does the work: SQL by hand, or `conditional_update`. Both prepared once a connection, and both answer with the
//! new row as JSON.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::case::Case;
use crate::machine;
use crate::servers::Postgres;
use crate::turn;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    ByHand,
    Ours(Form),
}

/// How `conditional_update` is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For the new row alone, with the conditions in the statement: no more than the statement by hand does.
    Row,
    /// As the Rust client asks with conditions that come often: they stand in the statement.
    Often,
    /// As the Rust client asks with conditions that change: they are parameters.
    Changing,
}

impl Form {
    pub const ALL: [Form; 3] = [Form::Row, Form::Often, Form::Changing];

    pub fn name(self) -> &'static str {
        match self {
            Form::Row => "in the statement",
            Form::Often => "client, often the same",
            Form::Changing => "client, parameters",
        }
    }

    fn sql(self, case: &Case) -> String {
        let call = match self {
            Form::Row => return format!("SELECT ({}).new_row", case.call),
            Form::Often => case.call,
            Form::Changing => include_str!("../../sql/updates/parameters_call.sql"),
        };
        format!(
            "SELECT (once.result).outcome, (once.result).new_row, (once.result).unmet \
             FROM (SELECT {call} AS result) AS once"
        )
    }

    /// How many documents are parameters.
    fn parameters(self) -> usize {
        match self {
            Form::Row | Form::Often => 2,
            Form::Changing => 4,
        }
    }
}

/// A connection that is ready to do one case's updates.
#[derive(Debug)]
pub struct Worker {
    contender: Contender,
    client: Client,
    statement: Statement,
    backend: i32,
    case: Arc<Case>,
    volumes: Vec<Uuid>,
}

impl Worker {
    pub async fn prepare(
        contender: Contender,
        client: Client,
        case: Arc<Case>,
        volumes: Vec<Uuid>,
    ) -> Result<Self> {
        let statement = match contender {
            Contender::ByHand => {
                let types = [Type::UUID, Type::TEXT];
                client.prepare_typed(case.by_hand, &types).await?
            }
            Contender::Ours(form) => {
                let types = vec![Type::JSONB; form.parameters()];
                client.prepare_typed(&form.sql(&case), &types).await?
            }
        };
        let backend = Postgres::backend(&client).await?;
        Ok(Worker {
            contender,
            client,
            statement,
            backend,
            case,
            volumes,
        })
    }

    /// Updates the first volume and returns the new row.
    pub async fn sample(&self) -> Result<Value> {
        // Twice, so that the status before is this one too.
        self.update(self.volumes[0], "error").await?;
        self.update(self.volumes[0], "error").await
    }

    /// Makes the volume's status this one, and returns the new row. Nobody else changes the volume, so a refusal is an
    /// error.
    async fn update(&self, id: Uuid, status: &str) -> Result<Value> {
        match self.contender {
            Contender::ByHand => self.by_hand(id, status).await,
            Contender::Ours(form) => self.ours(form, id, status).await,
        }
    }

    async fn by_hand(&self, id: Uuid, status: &str) -> Result<Value> {
        let row = self
            .client
            .query_opt(&self.statement, &[&id, &status])
            .await?;
        Ok(row.context("the update by hand was refused")?.try_get(0)?)
    }

    async fn ours(&self, form: Form, id: Uuid, status: &str) -> Result<Value> {
        let key = json!({"id": id.to_string()});
        let values = json!({"previous_status": {"column": "status"}, "status": status});
        let Case {
            expected, filter, ..
        } = &*self.case;
        let parameters: [&(dyn ToSql + Sync); 4] = [&key, &values, expected, filter];
        let parameters = &parameters[..form.parameters()];
        let row = self.client.query_one(&self.statement, parameters).await?;
        let refused = "conditional_update refused";
        match form {
            Form::Row => row.try_get::<_, Option<Value>>(0)?.context(refused),
            Form::Often | Form::Changing => {
                let (outcome, unmet): (&str, Option<Vec<&str>>) =
                    (row.try_get(0)?, row.try_get(2)?);
                ensure!(outcome == "updated", "{refused}: {outcome}, {unmet:?}");
                Ok(row.try_get(1)?)
            }
        }
    }
}

impl turn::Worker for Worker {
    fn server_time(&self) -> Result<Duration> {
        machine::processor_time(self.backend)
    }

    /// Updates one volume after the other until the time is over, and returns how many it did.
    async fn work_until(&self, end: Instant) -> Result<u64> {
        let rounds = (0_u64..).zip(self.volumes.iter().cycle());
        for (done, &id) in rounds {
            if Instant::now() >= end {
                return Ok(done);
            }
            self.update(id, if done % 2 == 0 { "error" } else { "available" })
                .await?;
        }
        bail!("a worker without volumes")
    }
}
