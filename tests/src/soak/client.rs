//! A client process: it works until its stdin ends.

use std::io::{Read, stdin};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use volguard::{Session, Volguard};

use super::ClientOptions;
use super::visit::Visitor;
use super::worker::Worker;
use crate::history::{Act, Answer, Log};

/// The pause before it asks a server again that is down.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// The time limit of a call, and of an orderly stop.
const LIMIT: Duration = Duration::from_secs(5);

/// Registers a session, works under it, and registers again when it is lost.
///
/// # Errors
/// Errors of its log; errors of calls are written to the log.
pub async fn run_client(options: ClientOptions) -> anyhow::Result<()> {
    let log = Arc::new(Log::create(&options.log)?);
    let mut stop = stop_at_end_of_stdin();
    let mut rng = Rng::with_seed(options.seed);
    let mut workers = JoinSet::new();
    for number in 0..options.habits.workers {
        let mut worker = Worker::new(&options, &log, number, rng.fork());
        let stop = stop.clone();
        workers.spawn(async move {
            while !*stop.borrow() {
                worker.turn().await?;
            }
            worker.stop().await
        });
    }
    while !*stop.borrow() {
        let session = tokio::select! {
            session = register(&options, &log) => session?,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((volguard, session)) = session else {
            sleep(RETRY_AFTER).await;
            continue;
        };
        let mut visitors = JoinSet::new();
        for _ in 0..options.habits.visitors {
            let mut visitor = Visitor::new(&options, &volguard, &session, &log, rng.fork());
            let (session, stop) = (session.clone(), stop.clone());
            visitors.spawn(async move {
                while !*stop.borrow() && session.loss().is_none() {
                    visitor.visit().await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(visitor) = visitors.join_next().await {
            visitor??;
        }
        // What the server could not be told ends with the lease.
        let _ = timeout(LIMIT, session.stop()).await;
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

/// The outer error is one of the log.
async fn register(options: &ClientOptions, log: &Log) -> anyhow::Result<Result<(Volguard, Session), volguard::Error>> {
    let question = log.ask(Act::Register { host: options.host.clone() })?;
    let registered = ask_to_register(options).await;
    if let Ok((_, session)) = &registered {
        question.answer(Answer::Service(session.service_id()))?;
    }
    Ok(registered)
}

async fn ask_to_register(options: &ClientOptions) -> Result<(Volguard, Session), volguard::Error> {
    let volguard = Volguard::builder()
        .url(&options.url)
        .pool_size(options.habits.visitors + 1)
        .time_limit(LIMIT)
        .connect()
        .await?;
    let session =
        volguard.register(&options.host, "soak-client").lease(options.lease).janitor(options.lease / 2).await?;
    Ok((volguard, session))
}

fn stop_at_end_of_stdin() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    // Not the runtime's blocking pool, because the end would wait for it.
    thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        sender.send_replace(true);
    });
    receiver
}
