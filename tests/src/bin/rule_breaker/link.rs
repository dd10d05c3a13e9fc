//! A connection that is replaced when it breaks.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use volguard_tests::scenario::Sql;

const PAUSE: Duration = Duration::from_millis(100);

/// The rows of an answer, as text.
pub type Rows = Vec<Vec<Option<String>>>;

#[derive(Debug)]
pub enum Failure {
    /// The connection broke, or had no answer in time: the statement may have taken effect.
    Lost,
    /// The server shuts down, starts, or has no room.
    Away,
    /// The server has refused the statement, with this SQLSTATE.
    Refused(String),
}

#[derive(Debug)]
pub struct Link {
    url: String,
    sql: Option<Sql>,
}

impl Link {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), sql: None }
    }

    /// Whether a connection that was open has been closed while no statement ran on it.
    pub fn has_broken(&self) -> bool {
        self.sql.as_ref().is_some_and(|sql| sql.plug().is_finished())
    }

    /// Sends a statement once, on a new connection if the last one has broken, and waits so long for the answer.
    pub async fn ask(&mut self, sql: &str, limit: Duration) -> Result<Rows, Failure> {
        let answer = timeout(limit, self.try_to(sql)).await.unwrap_or(Err(Failure::Lost));
        if matches!(answer, Err(Failure::Lost | Failure::Away)) {
            self.sql = None;
        }
        answer
    }

    async fn try_to(&mut self, sql: &str) -> Result<Rows, Failure> {
        if self.has_broken() {
            self.sql = None;
        }
        if self.sql.is_none() {
            self.sql = Some(Sql::connect(&self.url).await.map_err(|error| failure(&error))?);
        }
        let Some(connected) = &self.sql else { return Err(Failure::Lost) };
        connected.rows(sql).await.map_err(|error| failure(&error))
    }

    /// Asks until there is an answer. Also says whether an answer was lost before.
    pub async fn insist(&mut self, sql: &str, limit: Duration) -> (Result<Rows, Failure>, bool) {
        let mut doubt = false;
        loop {
            match self.ask(sql, limit).await {
                Err(Failure::Lost | Failure::Away) => doubt = true,
                answer => return (answer, doubt),
            }
            sleep(PAUSE).await;
        }
    }

    pub fn close(&mut self) {
        self.sql = None;
    }
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    let Some(error) = error.as_db_error() else { return Failure::Lost };
    let code = error.code().code();
    match &code[..2] {
        // 08P01 is PgBouncer's, for a server that it has lost.
        "08" | "53" | "57" => Failure::Away,
        _ => Failure::Refused(code.to_owned()),
    }
}
