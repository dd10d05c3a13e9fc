//! Clients that run the same steps on their volumes, one after the other, by the methods that are compared.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::connection::Connection;
use crate::database::Database;
use crate::play::{Contender, play};
use crate::score::{Cell, Score};
use crate::turn::{Piece, Player, turn};

/// One method: statements, each with its parameters. Their columns `token`, `new_row` and `held` have a meaning.
#[derive(Debug)]
pub struct Method {
    name: &'static str,
    steps: Vec<(&'static str, Vec<Parameter>)>,
}

impl Method {
    pub fn new<const N: usize>(name: &'static str, steps: [(&'static str, Vec<Parameter>); N]) -> Method {
        let steps = steps.to_vec();
        Method { name, steps }
    }
}

#[derive(Debug, Clone)]
pub enum Parameter {
    Service,
    /// The answer of the previous step.
    Token,
    Volume,
    VolumeText,
    /// `{"id": volume}`
    Key,
    Status,
    /// The status as a document.
    Changes,
    Document(Option<Value>),
}

#[derive(Debug)]
struct Visitor {
    steps: Vec<Vec<Parameter>>,
    connection: Connection,
    service_id: i64,
    volumes: Vec<Uuid>,
    /// The number of visits.
    done: usize,
}

impl Visitor {
    /// Runs the steps on one volume, and returns its state after each step, without its
    /// size, which may grow. No other client works on the volume, so a refusal is an error.
    async fn visit(&self) -> Result<Vec<Value>> {
        let volume = self.volumes[self.done % self.volumes.len()];
        let (text, status) = (volume.to_string(), ["error", "available"][self.done % 2]);
        let key = json!({"id": text});
        let changes = json!({"previous_status": {"column": "status"}, "status": status});
        let (mut token, mut states) = (None::<i64>, Vec::new());
        for (step, parameters) in self.steps.iter().enumerate() {
            let with = parameters.iter().map(|parameter| match parameter {
                Parameter::Service => &self.service_id,
                Parameter::Token => &token as &(dyn ToSql + Sync),
                Parameter::Volume => &volume,
                Parameter::VolumeText => &text,
                Parameter::Key => &key,
                Parameter::Status => &status,
                Parameter::Changes => &changes,
                Parameter::Document(document) => document,
            });
            let with: Vec<&(dyn ToSql + Sync)> = with.collect();
            let row = self.connection.row(step, &with).await?.context("refused")?;
            for (at, column) in row.columns().iter().enumerate() {
                match column.name() {
                    "token" => token = Some(row.try_get(at).context("refused")?),
                    "new_row" => states.push(row.try_get(at).context("refused")?),
                    "held" => ensure!(row.try_get::<_, bool>(at)?, "the lock was lost"),
                    _ => {}
                }
            }
        }
        Ok(states)
    }
}

impl Player for Visitor {
    fn server_pids(&self) -> impl IntoIterator<Item = i32> {
        [self.connection.server_pid()]
    }

    async fn work(&mut self) -> Result<Piece> {
        let asked = Instant::now();
        self.visit().await?;
        self.done += 1;
        Ok(Piece::since(asked))
    }
}

/// Compares the methods with each of these numbers of clients, after a check that all
/// methods do the same. Tables whose rows come and go are vacuumed before each turn.
pub async fn compare(
    score: &mut Score,
    database: &Database,
    methods: Vec<Method>,
    (what, clients): (&str, &[usize]),
    tables: Option<&str>,
) -> Result<Vec<Cell>> {
    let most = clients.iter().copied().max().unwrap_or(1);
    let volumes = database.volumes().await?;
    let (mut contenders, mut answers) = (Vec::new(), Vec::new());
    for Method { name, steps } in methods {
        let (statements, steps): (Vec<&str>, Vec<_>) = steps.into_iter().unzip();
        let mut team = Vec::new();
        for (number, volumes) in volumes[..most].iter().enumerate() {
            let host = format!("{what}, {name}, {number}");
            let (client, service_id) = database.connect_service(&host).await?;
            team.push(Visitor {
                steps: steps.clone(),
                connection: Connection::prepare(client, &statements).await?,
                service_id,
                volumes: volumes.clone(),
                done: 0,
            });
        }
        // Twice, so that all find the volume in the same state.
        team[0].visit().await?;
        let mut answer = team[0].visit().await?;
        answer.iter_mut().for_each(|state| drop(state["size"].take()));
        answers.push(answer);
        ensure!(answers[0] == answers[answers.len() - 1], "{name} does not do the same");
        contenders.push(Contender::new(name, team));
    }
    let cells = clients.iter().map(|&clients| Cell::new(what, clients));
    let cells: Vec<Cell> = cells.collect();
    play(score, &cells, &mut contenders, async |team, cell, time| {
        if let Some(tables) = tables {
            database.vacuum(tables).await?;
        }
        turn(team, cell.clients, time).await
    })
    .await?;
    Ok(cells)
}
