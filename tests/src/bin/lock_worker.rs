//! A lock holder in its own process, for tests that kill or stop it:
//! `lock-worker URL MODE HOST LEASE_MS JANITOR_MS`, with 0 for no janitor.
//!
//! It registers a session through the client crate, then obeys one verb a line on stdin and answers each with a line
//! on stdout, `ok RESULT` or `failed WHY`, until stdin ends. See `scenario/worker.rs`.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, bail, ensure};
use tokio::task::JoinSet;
use volguard::update::column;
use volguard::{Claimed, Key, Lock, Session, StartWork, StatementMode, Volguard, Work, WorkOutcome};
use volguard_tests::scenario::{CONNECT_TIMEOUT, Ledger, Party, Sql, sqlstate};

struct Worker {
    url: String,
    volguard: Volguard,
    session: Session,
    /// Plain SQL, which the client's own checks don't block.
    sql: Sql,
    lock: Option<Lock>,
    work: Option<Work>,
}

fn main() -> anyhow::Result<()> {
    // Heartbeats go on in its threads while this one waits for a verb.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut worker = match runtime.block_on(Worker::start(env::args().skip(1))) {
        Ok(worker) => worker,
        Err(error) => return answer(Err(error)),
    };
    answer(Ok(worker.session.service_id().to_string()))?;
    for line in io::stdin().lock().lines() {
        answer(runtime.block_on(worker.obey(&line?)))?;
    }
    Ok(())
}

fn answer(result: anyhow::Result<String>) -> anyhow::Result<()> {
    let line = match result {
        Ok(result) => format!("ok {result}"),
        // One line, with every cause in it.
        Err(error) => format!("failed {error:#}").replace('\n', " "),
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

impl Worker {
    async fn start(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut next = || arguments.next().context("usage: lock-worker URL MODE HOST LEASE_MS JANITOR_MS");
        let (url, mode, host, lease, janitor) = (next()?, next()?, next()?, next()?, next()?);
        let mode = match &*mode {
            "unnamed" => StatementMode::Unnamed,
            _ => StatementMode::Prepared,
        };
        let builder = Volguard::builder().url(&url).statement_mode(mode);
        let volguard = builder.connect_timeout(CONNECT_TIMEOUT).connect().await?;
        let janitor = Some(Duration::from_millis(janitor.parse()?)).filter(|interval| !interval.is_zero());
        let session = volguard
            .register(&host, "lock-worker")
            .lease(Duration::from_millis(lease.parse()?))
            .janitor(janitor)
            .await?;
        Ok(Self { sql: Sql::connect(&url).await?, url, volguard, session, lock: None, work: None })
    }

    async fn obey(&mut self, line: &str) -> anyhow::Result<String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "acquire" => self.acquire(rest).await,
            "release" => {
                let lock = self.lock.take().context("holds nothing")?;
                Ok(lock.release().await?.to_string())
            }
            "assert" => {
                self.held()?.assert_held().await?;
                Ok("held".to_owned())
            }
            "update" => self.update().await,
            "lost" => Ok(match self.session.loss() {
                Some(loss) => format!("{loss:?}"),
                None => "no".to_owned(),
            }),
            "sql" => Ok(match self.sql.text(rest).await {
                Ok(text) => text.unwrap_or_default(),
                Err(error) => sqlstate(&error),
            }),
            "contest" => self.contest(rest).await,
            "clean" => self.clean(rest != "unfenced").await,
            "start" => {
                self.work = self.start_work(rest).await?.started();
                Ok(self.work.is_some().to_string())
            }
            "work" => loop {
                let mut work = match self.start_work(rest).await? {
                    WorkOutcome::Started(work) => work,
                    refused => bail!("{refused:?}"),
                };
                let end = work.finish().set("status", "available").await?;
                ensure!(end.is_updated(), "{end:?}");
            },
            "steps" => self.steps(rest).await,
            _ => bail!("no such verb: {line}"),
        }
    }

    /// `acquire WAIT_MS KEY [STATUS]`: the token, or `none`.
    async fn acquire(&mut self, arguments: &str) -> anyhow::Result<String> {
        let mut arguments = arguments.split(' ');
        let wait = arguments.next().context("WAIT_MS is missing")?.parse()?;
        let mut key = Key::new("volume", arguments.next().context("KEY is missing")?);
        if let Some(status) = arguments.next() {
            key = key.status(status);
        }
        self.lock = self.session.acquire(key).wait(Duration::from_millis(wait)).await?;
        Ok(match &self.lock {
            Some(lock) => lock.token().to_string(),
            None => "none".to_owned(),
        })
    }

    fn held(&self) -> anyhow::Result<&Lock> {
        self.lock.as_ref().context("holds nothing")
    }

    /// Grows the volume of its lock, as long as it holds the lock.
    async fn update(&self) -> anyhow::Result<String> {
        let lock = self.held()?;
        let outcome = self
            .volguard
            .update("app.volumes")
            .key("id", lock.resource_id())
            .set("size", column("size") + 1)
            .fenced_by(lock)
            .await?;
        Ok(format!("{outcome:?}"))
    }

    fn start_work(&self, key: &str) -> StartWork {
        self.session
            .start_work("volume", key)
            .expect("status", "available")
            .set("status", "extending")
            // No other worker wants it, but an autovacuum that truncates the table may lock it for a moment.
            .wait(Duration::from_secs(5))
    }

    /// Like `work KEY` without an end, in four steps.
    async fn steps(&self, key: &str) -> anyhow::Result<String> {
        loop {
            let lock = self.session.acquire(Key::new("volume", key).status("extending"));
            let lock = lock.await?.context("free")?;
            for status in ["extending", "available"] {
                let update = self.volguard.update("app.volumes").key("id", key);
                let update = update.set("status", status).fenced_by(&lock);
                ensure!(update.await?.is_updated(), "{key} is there");
            }
            lock.release().await?;
        }
    }

    /// `contest START ROUNDS KEY…`: visits the keys in turn.
    async fn contest(&self, arguments: &str) -> anyhow::Result<String> {
        let mut arguments = arguments.split(' ');
        let mut number = || arguments.next().unwrap_or_default().parse::<usize>();
        let (start, rounds) = (number()?, number()?);
        let keys: Vec<String> = arguments.map(str::to_owned).collect();
        let ledger = Ledger::open(&self.url).await?;
        Party::Client(self.session.clone()).contest(&ledger, &keys, start, rounds).await?;
        Ok(rounds.to_string())
    }

    /// `clean [unfenced]`: claims work of crashed services and repairs the volumes, as long as it can.
    async fn clean(&self, fenced: bool) -> anyhow::Result<String> {
        let sql = Arc::new(Sql::connect(&self.url).await?);
        let mut claims = self.session.claims().every(NO_WORK);
        let mut repairs = JoinSet::new();
        let ended = loop {
            // The rest is left to the others.
            if repairs.len() >= REPAIRS {
                repairs.join_next().await;
            }
            let work = match claims.next().await {
                Ok(Some(work)) => work,
                Ok(None) => break "stopped".to_owned(),
                Err(error) => break format!("{error:?}"),
            };
            let sql = Arc::clone(&sql);
            // Dropped unless it is finished, which gives it back.
            repairs.spawn(async move {
                if let Ok(Ok(())) = work.run(repair(&sql, &work, fenced)).await {
                    work.finish_cleanup().await?;
                }
                anyhow::Ok(())
            });
        };
        Ok(ended)
    }
}

/// How many volumes it repairs at once.
const REPAIRS: usize = 2;
/// The pause between two searches for work.
const NO_WORK: Duration = Duration::from_millis(50);

/// Repairs a volume without a check of the lease: only the server can refuse it.
/// The pause is most of the time, so a kill or a stop usually hits the pause.
async fn repair(sql: &Sql, work: &Claimed, fenced: bool) -> anyhow::Result<()> {
    let pause = Duration::from_millis(fastrand::u64(50..350));
    tokio::task::block_in_place(|| std::thread::sleep(pause));
    let fence = if fenced { work.token().to_string() } else { "NULL".to_owned() };
    let update = format!(
        r#"SELECT (volguard.conditional_update('app.volumes', '{{"id": "{}"}}',
               '{{"status": "error", "size": {{"add": [{{"column": "size"}}, 1]}}}}', fence => {fence})).outcome"#,
        work.resource_id(),
    );
    match sql.text(&update).await?.as_deref() {
        Some("updated") => Ok(()),
        outcome => bail!("{outcome:?}"),
    }
}
