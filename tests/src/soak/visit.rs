//! One visit to a key, or to several: acquire, write, release, with every question and answer in the log.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::{DbError, Severity};
use uuid::Uuid;
use volguard::{Lock, Session, Volguard, column};

use super::ClientOptions;
use super::hold::Hold;
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
            if let Some(lock) = self.rng.choice(hold.locks()) {
                self.write(lock).await?;
                self.pause(lock).await;
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
        for (place, question) in questions.into_iter().enumerate() {
            let lock = hold.as_ref().and_then(|hold| hold.locks().get(place));
            question.answer(lock.map_or(Answer::NotFree, |lock| Answer::Token(lock.token())))?;
        }
        Ok(hold)
    }

    async fn ask(&self, keys: &[String], wait: Duration, request: Uuid) -> Result<Option<Hold>, volguard::Error> {
        if let [key] = keys {
            let asking = self.session.acquire("volume", key).wait(wait);
            Ok(asking.request_id(request).await?.map(Hold::One))
        } else {
            let wanted = keys.iter().map(|key| ("volume", &**key));
            let asking = self.session.acquire_all(wanted).wait(wait);
            Ok(asking.request_id(request).await?.map(Hold::Several))
        }
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
    async fn write(&mut self, lock: &Lock) -> anyhow::Result<()> {
        let write = Uuid::new_v4();
        let log = Arc::clone(&self.log);
        let question = log.ask(Act::Write { key: lock.resource_id().to_owned(), token: lock.token(), write })?;
        let patience = if self.rng.u8(0..100) < self.habits.abandoned {
            HANGS_UP_WITHIN.mul_f64(self.rng.f64())
        } else {
            Duration::MAX
        };
        let written = if self.rng.bool() {
            timeout(patience, self.write_by_client(lock, write)).await
        } else {
            timeout(patience, self.write_by_sql(lock, write)).await
        };
        match written {
            Ok(Answer::Nothing) | Err(_) => Ok(()),
            Ok(answer) => question.answer(answer),
        }
    }

    async fn write_by_client(&self, lock: &Lock, write: Uuid) -> Answer {
        let mut update = self
            .volguard
            .update("app.resources")
            .key("id", lock.resource_id())
            .set("version", column("version") + 1)
            .set("token", lock.token())
            .set("write", write.to_string());
        if self.habits.fenced {
            update = update.fenced_by(lock);
        }
        match update.execute().await {
            Ok(outcome) if outcome.is_updated() => Answer::Written,
            Ok(_) | Err(volguard::Error::SessionLost(_)) => Answer::Refused,
            Err(error) => refused(error.database_error()),
        }
    }

    async fn write_by_sql(&mut self, lock: &Lock, write: Uuid) -> Answer {
        let (key, token) = (lock.resource_id(), lock.token());
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
        for lock in hold.locks() {
            questions.push(log.ask(Act::Release { key: lock.resource_id().to_owned(), token: lock.token() })?);
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
    async fn pause(&mut self, lock: &Lock) {
        let long = lock.resource_id() == self.host && self.rng.u8(0..4) == 0;
        let most = if long { self.session.lease() / 2 } else { self.habits.pause };
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
