//! One visit to a key: acquire, write, release, and every question and answer of it in the log.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::{DbError, Severity};
use uuid::Uuid;
use volguard::{Lock, Session, Volguard, column};

use super::ClientOptions;
use super::options::Habits;
use crate::history::{Act, Answer, Log};
use crate::scenario::Sql;

/// A client that hangs up does so within this: before, while or after the server does what it was asked.
const HANGS_UP_WITHIN: Duration = Duration::from_millis(8);
/// A server that is down is not to be asked all the time.
const AFTER_AN_ERROR: Duration = Duration::from_millis(50);
/// Of ten visits so many are to a key that all want.
const HOT_OF_TEN: u8 = 7;

pub(super) struct Visitor {
    volguard: Volguard,
    session: Session,
    log: Arc<Log>,
    habits: Habits,
    host: String,
    url: String,
    /// Plain SQL, which the client's own checks don't hold back.
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
        let Some(lock) = self.acquire().await? else {
            return Ok(());
        };
        for _ in 0..self.rng.u8(0..=self.habits.writes) {
            self.write(&lock).await?;
            self.pause(&lock).await;
        }
        self.release(lock).await
    }

    async fn acquire(&mut self) -> anyhow::Result<Option<Lock>> {
        let key = self.key();
        let wait = self.rng.choice([0, 100, 1000]).unwrap_or_default();
        let request = Uuid::new_v4();
        let service = self.session.service_id();
        let asking = self
            .session
            .acquire("volume", &key)
            .wait(Duration::from_millis(wait))
            .request_id(request);
        let question = self.log.ask(Act::Acquire {
            key,
            request,
            service,
        })?;
        match asking.await {
            Ok(Some(lock)) => {
                question.answer(Answer::Token(lock.token()))?;
                Ok(Some(lock))
            }
            Ok(None) => {
                question.answer(Answer::NotFree)?;
                Ok(None)
            }
            Err(_) => {
                sleep(AFTER_AN_ERROR).await;
                Ok(None)
            }
        }
    }

    fn key(&mut self) -> String {
        if self.rng.u8(0..10) < HOT_OF_TEN {
            format!("hot-{}", self.rng.usize(0..self.habits.hot_keys))
        } else {
            self.host.clone()
        }
    }

    /// Whether or not the session is lost: it is the server that has to say no.
    async fn write(&mut self, lock: &Lock) -> anyhow::Result<()> {
        let write = Uuid::new_v4();
        let log = Arc::clone(&self.log);
        let question = log.ask(Act::Write {
            key: lock.resource_id().to_owned(),
            token: lock.token(),
            write,
        })?;
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
        let fence = if self.habits.fenced {
            format!(", fence => {token}")
        } else {
            String::new()
        };
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

    async fn release(&mut self, lock: Lock) -> anyhow::Result<()> {
        let question = self.log.ask(Act::Release {
            key: lock.resource_id().to_owned(),
            token: lock.token(),
        })?;
        // One in ten is only dropped, and released behind the scenes.
        if self.rng.u8(0..10) == 0 {
            return Ok(());
        }
        match lock.release().await {
            Ok(true) => question.answer(Answer::Released),
            Ok(false) => question.answer(Answer::NotHeld),
            Err(_) => Ok(()),
        }
    }

    /// Where nobody else waits it may be long, so that somebody who is stopped holds something more often than not.
    async fn pause(&mut self, lock: &Lock) {
        let long = lock.resource_id() == self.host && self.rng.u8(0..4) == 0;
        let most = if long {
            self.session.lease() / 2
        } else {
            self.habits.pause
        };
        sleep(most.mul_f64(self.rng.f64())).await;
    }
}

/// An error that leaves the session alive has undone its statement. One that ends it, or a broken connection, says nothing.
fn refused(error: Option<&DbError>) -> Answer {
    match error.and_then(DbError::parsed_severity) {
        Some(Severity::Error) => Answer::Refused,
        _ => Answer::Nothing,
    }
}
