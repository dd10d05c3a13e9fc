//! The work: taken, done in steps, and ended.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::breach::Breach;
use crate::lease::Lease;
use crate::link::{Failure, Link, Rows};
use crate::manager::LIMIT;

const WAIT: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Worker {
    pub service: i64,
    pub host: String,
    pub lease: Arc<Lease>,
    pub breach: Option<Breach>,
    pub link: Arc<Mutex<Link>>,
    pub stopping: watch::Receiver<bool>,
    /// Requests of next_work whose answers were lost, and until when their statements may still take work.
    pub doubtful: Vec<(Uuid, Instant)>,
}

#[derive(Debug)]
struct Piece {
    token: String,
    id: String,
    details: Details,
}

#[derive(Debug, Deserialize)]
struct Details {
    milliseconds: u64,
    size: i32,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Done,
    Refused,
    GivenBack,
}

impl Worker {
    fn breaks(&self, breach: Breach) -> bool {
        self.breach == Some(breach)
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Takes and does work until SIGTERM.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        let deaf = self.breaks(Breach::DeafWaiting);
        while !self.is_stopping() || deaf || self.breaks(Breach::TakesMore) {
            self.lease.check();
            let piece = self.next().await?;
            let worked = piece.is_some();
            if let Some(piece) = piece {
                self.do_under_log_lock(&piece).await?;
            }
            if self.is_stopping() && worked == deaf {
                break;
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<Option<Piece>> {
        self.give_back_doubtful().await?;
        let request = Uuid::new_v4();
        let wait = match self.breach {
            // Heartbeats that share the connection must get through.
            Some(Breach::SharedConnection) => WAIT / 20,
            // So long that the lost call is still under way when there is work.
            Some(Breach::ForgetsWork | Breach::GivesBackOnce) => WAIT * 6,
            _ => WAIT,
        };
        let next = format!(
            "SELECT token, resource_id, details FROM volguard.next_work({}, resource_type => 'volume',
                 operations => '{{extend}}', wait => '{} ms', request_id => '{request}')",
            self.service,
            wait.as_millis()
        );
        let deaf = self.breaks(Breach::DeafWaiting);
        let answer = {
            let mut stopping = self.stopping.clone();
            let mut link = self.link.lock().await;
            if self.is_stopping() && !deaf {
                // Only what is broken comes here: more work, without a wait.
                link.ask(&next.replace(&format!("{} ms", wait.as_millis()), "0"), LIMIT).await
            } else {
                tokio::select! {
                    answer = link.ask(&next, wait + LIMIT) => answer,
                    _ = stopping.wait_for(|stop| *stop && !deaf) => {
                        // The server notices that the connection is gone. What the call gets nevertheless, is given
                        // back when the service leaves.
                        link.close();
                        return Ok(None);
                    }
                }
            }
        };
        match answer {
            Ok(rows) => rows.into_iter().next().map(piece).transpose(),
            Err(Failure::Lost | Failure::Away) => {
                if self.breaks(Breach::DiesWaiting) {
                    bail!("the connection broke");
                }
                if matches!(answer, Err(Failure::Away)) && self.breaks(Breach::DiesOfShutdown) {
                    bail!("the server shuts down");
                }
                if !self.breaks(Breach::ForgetsWork) {
                    let long = if self.breaks(Breach::GivesBackOnce) { Duration::ZERO } else { wait + LIMIT * 2 };
                    self.doubtful.push((request, Instant::now() + long));
                }
                sleep(STEP * 2).await;
                Ok(None)
            }
            Err(Failure::Refused(code)) if code == "VG001" => self.is_fenced().await,
            // The lease is over by the server's clock; the next heartbeat, or our own clock, tells what that means.
            Err(Failure::Refused(code)) if code == "VG004" => {
                sleep(STEP * 2).await;
                Ok(None)
            }
            Err(failure) => bail!("next_work: {failure:?}"),
        }
    }

    /// The server may have given work to a call whose answer was lost, and may do so until the call has ended.
    async fn give_back_doubtful(&mut self) -> anyhow::Result<()> {
        if self.doubtful.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let ids: Vec<String> = self.doubtful.iter().map(|(id, _)| id.to_string()).collect();
        let release = format!("SELECT volguard.release_requests({}, '{{{}}}')", self.service, ids.join(","));
        match self.insist(&release).await {
            (Ok(_), _) => {
                self.doubtful.retain(|(_, over)| *over > now);
                Ok(())
            }
            (Err(Failure::Refused(code)), _) if code == "VG001" => self.is_fenced().await,
            (Err(failure), _) => bail!("release_requests: {failure:?}"),
        }
    }

    async fn insist(&self, sql: &str) -> (Result<Rows, Failure>, bool) {
        self.lease.check();
        self.link.lock().await.insist(sql, WAIT + LIMIT).await
    }

    /// Never returns, unless the fence is ignored.
    async fn is_fenced<T>(&self) -> anyhow::Result<T> {
        self.lease.fence();
        self.lease.check();
        std::future::pending().await
    }

    async fn do_under_log_lock(&mut self, piece: &Piece) -> anyhow::Result<()> {
        let log = if self.breaks(Breach::NoLogLock) { None } else { self.acquire_log().await? };
        if log.is_none() && !self.breaks(Breach::NoLogLock) {
            return self.release(&piece.token).await;
        }
        self.lease.say(&format!("begin {} {}", piece.token, piece.id));
        match self.work(piece).await? {
            Ending::Done => self.lease.say(&format!("end {} {}", piece.token, piece.id)),
            Ending::Refused if self.breaks(Breach::EndsRefused) => {
                self.lease.say(&format!("end {} {}", piece.token, piece.id));
            }
            Ending::Refused => self.lease.say(&format!("refused {} {}", piece.token, piece.id)),
            Ending::GivenBack => self.release(&piece.token).await?,
        }
        match log {
            Some(token) => self.release(&token).await,
            None => Ok(()),
        }
    }

    /// `None` if it has to stop first.
    async fn acquire_log(&self) -> anyhow::Result<Option<String>> {
        while !self.is_stopping() || self.breaks(Breach::TakesMore) {
            let wait = if self.breaks(Breach::NoWait) { 0 } else { WAIT.as_millis() };
            let acquire = |id: Uuid| {
                format!(
                    "SELECT volguard.acquire({}, 'manager-log', '{}', wait => '{wait} ms', request_id => '{id}')",
                    self.service, self.host
                )
            };
            let answer = if self.breaks(Breach::AcquiresAnew) {
                loop {
                    let answer = self.link.lock().await.ask(&acquire(Uuid::new_v4()), WAIT + LIMIT).await;
                    if !matches!(answer, Err(Failure::Lost | Failure::Away)) {
                        break answer;
                    }
                    sleep(STEP).await;
                }
            } else {
                self.insist(&acquire(Uuid::new_v4())).await.0
            };
            match answer {
                Ok(rows) => match first(rows) {
                    Some(token) => return Ok(Some(token)),
                    None => sleep(STEP).await,
                },
                Err(Failure::Refused(code)) if code == "VG001" => return self.is_fenced().await,
                Err(Failure::Refused(code)) if code == "VG004" => sleep(STEP * 2).await,
                Err(failure) => bail!("acquire: {failure:?}"),
            }
        }
        Ok(None)
    }

    async fn release(&self, token: &str) -> anyhow::Result<()> {
        let release = format!("SELECT volguard.release({token})");
        if self.breaks(Breach::ReleasesOnce) {
            // Errors are what is broken here.
            let _ = self.link.lock().await.ask(&release, LIMIT).await;
            return Ok(());
        }
        match self.insist(&release).await {
            (Ok(_), _) => Ok(()),
            (Err(failure), _) => bail!("release: {failure:?}"),
        }
    }

    async fn work(&self, piece: &Piece) -> anyhow::Result<Ending> {
        let begun = Instant::now();
        let takes = Duration::from_millis(piece.details.milliseconds);
        if !self.steps_until(begun + takes / 2).await? {
            return Ok(Ending::GivenBack);
        }
        // After the loss it does not come here, but for the one that works on.
        let hurry = self.lease.over.load(std::sync::atomic::Ordering::SeqCst);
        if !hurry {
            if self.write(piece).await? == Ending::Refused {
                return Ok(Ending::Refused);
            }
            self.steps_until(begun + takes).await?;
        }
        self.finish(piece).await
    }

    /// Works. Whether it should go on: a long piece is given back on SIGTERM.
    async fn steps_until(&self, end: Instant) -> anyhow::Result<bool> {
        while Instant::now() < end && !self.lease.over.load(std::sync::atomic::Ordering::SeqCst) {
            self.lease.check();
            if self.breaks(Breach::DiesIdle)
                && let Ok(link) = self.link.try_lock()
                && link.has_broken()
            {
                bail!("the connection broke");
            }
            if self.is_stopping() && end - Instant::now() > self.lease.third() {
                return Ok(false);
            }
            sleep(STEP.min(end - Instant::now())).await;
        }
        Ok(true)
    }

    async fn write(&self, piece: &Piece) -> anyhow::Result<Ending> {
        let Piece { token, id, details: Details { size, .. } } = piece;
        let fence = if self.breaks(Breach::UnfencedWrite) { "NULL" } else { token };
        let write = format!(
            r#"SELECT (volguard.conditional_update('app.volumes', '{{"id": "{id}"}}', '{{"size": {size}}}',
                   fence => {fence})).outcome"#
        );
        self.outcome("conditional_update", self.insist(&write).await.0)
    }

    async fn finish(&self, piece: &Piece) -> anyhow::Result<Ending> {
        let Piece { token, id, details: Details { size, .. } } = piece;
        let finish = format!(r#"SELECT (volguard.finish_work({token}, '{{"status": "available"}}')).outcome"#);
        if self.breaks(Breach::FinishesOnce) {
            let answer = self.link.lock().await.ask(&finish, LIMIT).await;
            return match answer {
                Err(Failure::Lost) => Ok(Ending::Done),
                answer => self.outcome("finish_work", answer),
            };
        }
        let (answer, doubt) = self.insist(&finish).await;
        let ending = self.outcome("finish_work", answer)?;
        if ending == Ending::Refused && doubt && !self.breaks(Breach::FinishRefused) {
            // Done by the call whose answer was lost, or taken away: the row tells.
            let look = format!("SELECT status = 'available' AND size = {size} FROM app.volumes WHERE id = '{id}'");
            let (rows, _) = self.insist(&look).await;
            let done = rows.is_ok_and(|rows| first(rows).as_deref() == Some("t"));
            return Ok(if done { Ending::Done } else { Ending::Refused });
        }
        Ok(ending)
    }

    fn outcome(&self, verb: &str, answer: Result<Rows, Failure>) -> anyhow::Result<Ending> {
        match answer {
            Ok(rows) => match first(rows).as_deref() {
                Some("updated") => Ok(Ending::Done),
                Some("fenced") => Ok(Ending::Refused),
                outcome => bail!("{verb}: {outcome:?}"),
            },
            Err(failure) => bail!("{verb}: {failure:?}"),
        }
    }
}

fn first(rows: Rows) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}

fn piece(row: Vec<Option<String>>) -> anyhow::Result<Piece> {
    let mut columns = row.into_iter().flatten();
    let mut column = || columns.next().context("next_work returns a row");
    Ok(Piece { token: column()?, id: column()?, details: serde_json::from_str(&column()?)? })
}
