//! A lock holder in a process of its own, for tests that kill or stop it: `lock-worker URL MODE HOST LEASE_MS`.
//!
//! It registers a session through the client crate, then obeys one verb a line on stdin and answers each with a line
//! on stdout, `ok RESULT` or `failed WHY`, until stdin ends. See `scenario/worker.rs`.

use std::io::{BufRead, Write};
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, bail, ensure};
use volguard::{Lock, Session, StartWork, StatementMode, Volguard, Work, column};
use volguard_tests::scenario::{Ledger, Party, Sql, sqlstate};

struct Worker {
    url: String,
    volguard: Volguard,
    session: Session,
    /// Plain SQL, which the client's own checks don't hold back.
    sql: Sql,
    lock: Option<Lock>,
    work: Option<Work>,
}

fn main() -> anyhow::Result<()> {
    // Heartbeats go on in its threads while this one waits for a verb.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
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
        let mut next = || {
            arguments
                .next()
                .context("usage: lock-worker URL MODE HOST LEASE_MS")
        };
        let (url, mode, host, lease) = (next()?, next()?, next()?, next()?);
        let mode = match &*mode {
            "unnamed" => StatementMode::Unnamed,
            _ => StatementMode::Prepared,
        };
        let volguard = Volguard::builder()
            .url(&url)
            .statement_mode(mode)
            .connect()
            .await?;
        let session = volguard
            .register(&host, "lock-worker")
            .lease(Duration::from_millis(lease.parse()?))
            .start()
            .await?;
        Ok(Self {
            sql: Sql::connect(&url).await?,
            url,
            volguard,
            session,
            lock: None,
            work: None,
        })
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
            "start" => {
                self.work = self.start_work(rest).await?.started();
                Ok(self.work.is_some().to_string())
            }
            "work" => loop {
                let mut work = self.start_work(rest).await?.started().context("free")?;
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
        let key = arguments.next().context("KEY is missing")?;
        let mut request = self
            .session
            .acquire("volume", key)
            .wait(Duration::from_millis(wait));
        if let Some(status) = arguments.next() {
            request = request.status(status);
        }
        self.lock = request.await?;
        Ok(match &self.lock {
            Some(lock) => lock.token().to_string(),
            None => "none".to_owned(),
        })
    }

    fn held(&self) -> anyhow::Result<&Lock> {
        self.lock.as_ref().context("holds nothing")
    }

    /// Grows the volume that it holds, as long as it holds it.
    async fn update(&self) -> anyhow::Result<String> {
        let lock = self.held()?;
        let outcome = self
            .volguard
            .update("app.volumes")
            .key("id", lock.resource_id())
            .set("size", column("size") + 1)
            .fenced_by(lock)
            .execute()
            .await?;
        Ok(format!("{outcome:?}"))
    }

    fn start_work(&self, key: &str) -> StartWork {
        self.session
            .start_work("volume", key)
            .expect("status", "available")
            .set("status", "extending")
    }

    /// What `work KEY` does without end, in four steps.
    async fn steps(&self, key: &str) -> anyhow::Result<String> {
        loop {
            let lock = self.session.acquire("volume", key).status("extending");
            let lock = lock.await?.context("free")?;
            for status in ["extending", "available"] {
                let update = self.volguard.update("app.volumes").key("id", key);
                let update = update.set("status", status).fenced_by(&lock);
                ensure!(update.execute().await?.is_updated(), "{key} is there");
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
        Party::Client(self.session.clone())
            .contest(&ledger, &keys, start, rounds)
            .await?;
        Ok(rounds.to_string())
    }
}
