//! A task that submits work and does work, in plain SQL, under a service of its own.
//!
//! It has one piece of work at a time. Where it does not learn what a call did, it gives back whatever its service has,
//! or leaves that to a new incarnation.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;
use uuid::Uuid;

use super::ClientOptions;
use super::caller::{Caller, Got};
use super::options::Habits;
use crate::history::{Act, Answer, Finish, Log, journal::JOB};

/// The longest pause between two turns, and that after an error.
const PAUSE: Duration = Duration::from_millis(20);
const AFTER_AN_ERROR: Duration = Duration::from_millis(50);
/// How many times a submit is repeated, under its request, if there is no answer.
const REPEATED: usize = 3;

/// The types, rules and resources of that work, by the role of the workers.
pub(super) fn furnish(jobs: usize) -> String {
    format!(
        r#"SET ROLE manager;
           INSERT INTO app.jobs (id) SELECT 'job-' || number FROM generate_series(0, {jobs}) AS number;
           SELECT volguard.track_resource('{JOB}', 'app.jobs');
           SELECT volguard.on_crash('{JOB}', 'first', '{{"status": "idle", "how": "rolled_back"}}', retry => 1);"#
    )
}

pub(crate) struct Worker {
    caller: Caller,
    host: String,
    lease: Duration,
    habits: Habits,
    log: Arc<Log>,
    rng: Rng,
    service: Option<i64>,
    /// It may have what it does not know of.
    unsure: bool,
    /// The last piece of work that it has submitted.
    submitted: Option<i64>,
}

impl Worker {
    pub(crate) fn new(options: &ClientOptions, log: &Arc<Log>, number: usize, rng: Rng) -> Self {
        Self {
            caller: Caller::new(&options.url),
            host: format!("{}-{number}", options.host),
            lease: options.lease,
            habits: options.habits.clone(),
            log: Arc::clone(log),
            rng,
            service: None,
            unsure: false,
            submitted: None,
        }
    }

    /// Submits, cancels, takes or claims. The error is one of the log.
    pub(crate) async fn turn(&mut self) -> anyhow::Result<()> {
        if let Some(service) = self.ready().await? {
            match self.rng.u8(0..20) {
                0..8 => self.submit().await?,
                8..10 => self.cancel().await?,
                10..18 => self.take(service, "volguard.next_work", ", wait => '100 ms'").await?,
                _ => self.take(service, "volguard.claim_cleanup", "").await?,
            }
        }
        sleep(PAUSE.mul_f64(self.rng.f64())).await;
        Ok(())
    }

    /// Does all work that is left, until none is, with cleanups in between.
    pub(crate) async fn drain(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(service) = self.ready().await? {
                self.take(service, "volguard.claim_cleanup", "").await?;
                self.take(service, "volguard.next_work", ", wait => '100 ms'").await?;
                self.caller.call("SELECT state FROM volguard.cleanup() LIMIT 1").await;
                let left = format!("SELECT count(*) FROM volguard.lock_status WHERE resource_type = '{JOB}'");
                if matches!(self.caller.call(&left).await, Got::Row(row) if row == ["0"]) {
                    return self.stop().await;
                }
            }
        }
    }

    /// In order: what it has goes back.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(service) = self.service.take() {
            self.give_back(service, &format!("SELECT volguard.deregister_service({service})")).await?;
        }
        Ok(())
    }

    /// A service that lives and has nothing.
    async fn ready(&mut self) -> anyhow::Result<Option<i64>> {
        // What it was unsure of is either given back or fenced.
        if self.unsure && self.rng.bool() {
            self.service = None;
        }
        let Some(service) = self.service else {
            return self.register().await;
        };
        let alive = match self.unsure {
            true => {
                let reconcile = format!("SELECT volguard.heartbeat({service}), volguard.reconcile({service}, '{{}}')");
                self.give_back(service, &reconcile).await?
            }
            false => self.caller.call(&format!("SELECT volguard.heartbeat({service})")).await,
        };
        match alive {
            Got::Row(_) => {
                self.unsure = false;
                return Ok(Some(service));
            }
            // It is fenced.
            Got::Error => self.service = None,
            Got::Nothing => {}
        }
        sleep(AFTER_AN_ERROR).await;
        Ok(None)
    }

    async fn register(&mut self) -> anyhow::Result<Option<i64>> {
        let log = Arc::clone(&self.log);
        let question = log.ask(Act::Register { host: self.host.clone() })?;
        let (host, lease) = (&self.host, self.lease.as_millis());
        let register = format!("SELECT volguard.register_service('{host}', 'soak-worker', lease => '{lease} ms')");
        if let Got::Row(row) = self.caller.call(&register).await {
            let service = number(&row)?;
            question.answer(Answer::Service(service))?;
            (self.service, self.unsure) = (Some(service), false);
        } else {
            sleep(AFTER_AN_ERROR).await;
        }
        Ok(self.service)
    }

    async fn submit(&mut self) -> anyhow::Result<()> {
        let log = Arc::clone(&self.log);
        let request = Uuid::new_v4();
        let key = format!("job-{}", self.rng.usize(0..self.habits.jobs));
        // Without it, only the lock says that there is work already.
        let expected = if self.rng.bool() { r#", expected => '{"status": "idle"}'"# } else { "" };
        let submit = format!(
            r#"SELECT outcome, token FROM volguard.submit_work('default', '{JOB}', '{key}',
                   '{{"status": "first", "request": "{request}", "how": null}}', operation => 'first',
                   priority => {}, request_id => '{request}'{expected})"#,
            self.rng.i8(0..2)
        );
        for _ in 0..REPEATED {
            let question = log.ask(Act::Submit { key: key.clone(), request })?;
            match self.caller.call(&submit).await {
                Got::Row(row) if row[0] == "updated" => {
                    let work = number(&row[1..])?;
                    self.submitted = Some(work);
                    return question.answer(Answer::Submitted(work));
                }
                Got::Row(_) | Got::Error => return question.answer(Answer::NotFree),
                Got::Nothing => sleep(AFTER_AN_ERROR).await,
            }
        }
        Ok(())
    }

    async fn cancel(&mut self) -> anyhow::Result<()> {
        let Some(work) = self.submitted.take() else {
            return Ok(());
        };
        let cancel =
            format!(r#"SELECT outcome FROM volguard.cancel_work({work}, '{{"status": "idle", "how": "cancelled"}}')"#);
        self.change(Act::Cancel { work }, &cancel).await
    }

    /// Takes a piece of work and does it.
    async fn take(&mut self, service: i64, verb: &str, more: &str) -> anyhow::Result<()> {
        let log = Arc::clone(&self.log);
        let question = log.ask(Act::Take { service })?;
        let (token, is_first) =
            match self.caller.call(&format!("SELECT token, status FROM {verb}({service}{more})")).await {
                Got::Row(row) if row.is_empty() => return question.answer(Answer::NotFree),
                Got::Row(row) => {
                    let token = number(&row)?;
                    question.answer(Answer::Token(token))?;
                    (token, row[1] == "first")
                }
                Got::Error | Got::Nothing => {
                    self.unsure = true;
                    return Ok(());
                }
            };
        // So that a client that is killed or stopped usually has work.
        let long = self.rng.u8(0..3) == 0;
        let most = if long { self.lease.mul_f64(self.habits.lingering) } else { self.habits.pause };
        sleep(most.mul_f64(self.rng.f64())).await;
        let claimed = verb.ends_with("claim_cleanup");
        match self.rng.u8(0..20) {
            _ if claimed => self.finish(token, Finish::RolledBack, "rolled_back").await,
            0..2 => self.finish(token, Finish::Refused, "refused").await,
            2..6 if is_first => {
                let pass = format!(
                    r#"SELECT outcome FROM volguard.pass_work({token}, 'second', changes => '{{"status": "second"}}')"#
                );
                self.change(Act::Pass { token }, &pass).await
            }
            6..8 => {
                let got = self.give_back(service, &format!("SELECT volguard.release({token})")).await?;
                self.unsure = !matches!(got, Got::Row(_));
                Ok(())
            }
            _ => self.finish(token, Finish::Done, "done").await,
        }
    }

    async fn give_back(&mut self, service: i64, statement: &str) -> anyhow::Result<Got> {
        let question = self.log.ask(Act::GiveBack { service })?;
        let got = self.caller.call(statement).await;
        if matches!(got, Got::Row(_)) {
            question.answer(Answer::Released)?;
        }
        Ok(got)
    }

    async fn finish(&mut self, token: i64, how: Finish, name: &str) -> anyhow::Result<()> {
        let finish =
            format!(r#"SELECT outcome FROM volguard.finish_work({token}, '{{"status": "idle", "how": "{name}"}}')"#);
        self.change(Act::Finish { token, how }, &finish).await
    }

    async fn change(&mut self, act: Act, statement: &str) -> anyhow::Result<()> {
        let log = Arc::clone(&self.log);
        let question = log.ask(act)?;
        match self.caller.call(statement).await {
            Got::Row(row) if row == ["updated"] => question.answer(Answer::Written),
            Got::Row(_) => question.answer(Answer::Refused),
            Got::Error => {
                self.unsure = true;
                question.answer(Answer::Refused)
            }
            Got::Nothing => {
                self.unsure = true;
                Ok(())
            }
        }
    }
}

fn number(row: &[String]) -> anyhow::Result<i64> {
    let [first, ..] = row else { anyhow::bail!("no column") };
    Ok(first.parse()?)
}
