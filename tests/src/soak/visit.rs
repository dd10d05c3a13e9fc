//! One visit to a key, or to several: acquire, write, release, with every question and answer in the log.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::{DbError, Severity};
use uuid::Uuid;
use volguard::update::column;
use volguard::{Session, Volguard};

use super::ClientOptions;
use super::hold::{Hold, Part};
use super::options::Habits;
use crate::history::{Act, Answer, Log};
use crate::scenario::Sql;

/// A client hangs up within this time: before, while or after the server does what it was asked for.
const HANGS_UP_WITHIN: Duration = Duration::from_millis(8);
/// The pause before it asks a server again that is down.
const AFTER_AN_ERROR: Duration = Duration::from_millis(50);
/// Of ten visits this many are to a key that all clients use.
const HOT_OF_TEN: u8 = 7;

pub(super) struct Visitor {
    volguard: Volguard,
    session: Session,
    log: Arc<Log>,
    habits: Habits,
    host: String,
    url: String,
    /// Plain SQL, which the client's own checks don't block.
    sql: Option<Sql>,
    rng: Rng,
}

impl Visitor {
    pub(super) fn new(
        options: &ClientOptions,
        volguard: &Volguard,
        session: &Session,
        log: &Arc<Log>,
        rng: Rng,
    ) -> Self {
        Self {
            volguard: volguard.clone(),
            session: session.clone(),
            log: Arc::clone(log),
            habits: options.habits.clone(),
            host: options.host.clone(),
            url: options.url.clone(),
            sql: None,
            rng,
        }
    }

    pub(super) async fn visit(&mut self) -> anyhow::Result<()> {
        let Some(hold) = self.acquire().await? else {
            return Ok(());
        };
        for _ in 0..self.rng.u8(0..=self.habits.writes) {
            if let Some(part) = self.rng.choice(hold.parts()) {
                self.write(&hold, &part).await?;
                self.pause(&part.key).await;
            }
        }
        self.release(hold).await
    }

    async fn acquire(&mut self) -> anyhow::Result<Option<Hold>> {
        let keys = self.keys();
        let wait = Duration::from_millis(self.rng.choice([0, 100, 1000]).unwrap_or_default());
        let request = Uuid::new_v4();
        let log = Arc::clone(&self.log);
        let mut questions = Vec::new();
        for key in &keys {
            questions.push(log.ask(Act::Acquire { key: key.clone(), request, service: self.session.service_id() })?);
        }
        let Ok(hold) = self.ask(&keys, wait, request).await else {
            sleep(AFTER_AN_ERROR).await;
            return Ok(None);
        };
        let mut parts = hold.as_ref().map_or(Vec::new(), Hold::parts).into_iter();
        for question in questions {
            question.answer(parts.next().map_or(Answer::NotFree, |part| Answer::Token(part.token)))?;
        }
        Ok(hold)
    }

    async fn ask(&self, keys: &[String], wait: Duration, request: Uuid) -> Result<Option<Hold>, volguard::Error> {
        let wanted: Vec<_> = keys.iter().map(|key| ("volume", &**key)).collect();
        let lock = self.session.acquire(wanted).wait(wait).request_id(request).await?;
        Ok(lock.map(|lock| Hold::new(&self.session, lock, keys)))
    }

    /// Mostly one key; several keys come in any order.
    fn keys(&mut self) -> Vec<String> {
        if self.rng.u8(0..100) >= self.habits.several {
            return vec![self.key()];
        }
        let mut keys: Vec<_> = (0..self.habits.hot_keys).map(hot).collect();
        keys.push(self.host.clone());
        self.rng.shuffle(&mut keys);
        keys.truncate(self.rng.usize(2..=3));
        keys
    }

    fn key(&mut self) -> String {
        if self.rng.u8(0..10) < HOT_OF_TEN { hot(self.rng.usize(0..self.habits.hot_keys)) } else { self.host.clone() }
    }

    /// Whether or not the session is lost: the server has to refuse.
    async fn write(&mut self, hold: &Hold, part: &Part) -> anyhow::Result<()> {
        let write = Uuid::new_v4();
        let log = Arc::clone(&self.log);
        let question = log.ask(Act::Write { key: part.key.clone(), token: part.token, write })?;
        let patience = if self.rng.u8(0..100) < self.habits.abandoned {
            HANGS_UP_WITHIN.mul_f64(self.rng.f64())
        } else {
            Duration::MAX
        };
        let written = if self.rng.bool() {
            timeout(patience, self.write_by_client(hold, part, write)).await
        } else {
            timeout(patience, self.write_by_sql(part, write)).await
        };
        match written {
            Ok(Answer::Nothing) | Err(_) => Ok(()),
            Ok(answer) => question.answer(answer),
        }
    }

    async fn write_by_client(&self, hold: &Hold, part: &Part, write: Uuid) -> Answer {
        let mut update = self
            .volguard
            .update("app.resources")
            .key("id", &part.key)
            .set("version", column("version") + 1)
            .set("token", part.token)
            .set("write", write.to_string());
        if self.habits.fenced {
            update = match hold.guard_of(part) {
                Some(guard) => update.fenced_by(guard),
                None => update.fence(part.token),
            };
        }
        match update.await {
            Ok(outcome) if outcome.is_updated() => Answer::Written,
            Ok(_) | Err(volguard::Error::SessionLost(_)) => Answer::Refused,
            Err(error) => refused(error.database_error()),
        }
    }

    async fn write_by_sql(&mut self, part: &Part, write: Uuid) -> Answer {
        let Part { key, token } = part;
        let fence = if self.habits.fenced { format!(", fence => {token}") } else { String::new() };
        let statement = format!(
            r#"SELECT (volguard.conditional_update('app.resources', '{{"id": "{key}"}}',
                   '{{"version": {{"add": [{{"column": "version"}}, 1]}}, "token": {token}, "write": "{write}"}}'{fence})).outcome"#
        );
        let sql = match &self.sql {
            Some(sql) => sql,
            None => match Sql::connect(&self.url).await {
                Ok(sql) => self.sql.insert(sql),
                Err(_) => return Answer::Nothing,
            },
        };
        let answer = match sql.text(&statement).await {
            Ok(Some(outcome)) if outcome == "updated" => Answer::Written,
            Ok(_) => Answer::Refused,
            Err(error) => refused(error.as_db_error()),
        };
        if answer == Answer::Nothing {
            self.sql = None;
        }
        answer
    }

    async fn release(&mut self, hold: Hold) -> anyhow::Result<()> {
        let log = Arc::clone(&self.log);
        let mut questions = Vec::new();
        for Part { key, token } in hold.parts() {
            questions.push(log.ask(Act::Release { key, token })?);
        }
        // One in ten is only dropped, and released in the background.
        if self.rng.u8(0..10) == 0 {
            return Ok(());
        }
        match hold.release().await {
            Ok(Answer::Nothing) | Err(_) => Ok(()),
            Ok(answer) => questions.into_iter().try_for_each(|question| question.answer(answer)),
        }
    }

    /// With no other waiter the pause may be long, so that a stopped client usually holds a lock.
    async fn pause(&mut self, key: &str) {
        let long = key == self.host && self.rng.u8(0..4) == 0;
        let most = if long { self.session.lease().mul_f64(self.habits.lingering) } else { self.habits.pause };
        sleep(most.mul_f64(self.rng.f64())).await;
    }
}

fn hot(number: usize) -> String {
    format!("hot-{number}")
}

/// An error that leaves the session alive has undone its statement.
/// An error that ends it, or a broken connection, says nothing.
fn refused(error: Option<&DbError>) -> Answer {
    match error.and_then(DbError::parsed_severity) {
        Some(Severity::Error) => Answer::Refused,
        _ => Answer::Nothing,
    }
}
