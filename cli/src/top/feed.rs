//! What the screen shows, read again and again. A connection that is lost is replaced.

use crate::args::Database;
use crate::connect;
use crate::error::Failure;
use crate::query::{self, Row, texts};
use crate::section::{ALL, Choice};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use volguard::Volguard;

/// How many rows of a section are read at most. The rest is counted.
const MOST: i64 = 300;
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The database is left alone for this many times as long as a look takes.
const REST: u32 = 4;

const ABOUT: &str = "SELECT current_database()::text, current_user::text, to_char(clock_timestamp(), 'HH24:MI:SS'), \
    CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END";

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) filter: String,
    pub(super) choices: [Choice; ALL.len()],
    /// Nothing, for now.
    pub(super) is_paused: bool,
}

/// What there was at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) database: String,
    pub(super) role: String,
    pub(super) time: String,
    /// Whether it is a primary or a standby.
    pub(super) kind: String,
    /// Of each section: its rows, and how many there are in all.
    pub(super) sections: Vec<(Vec<Row>, u64)>,
}

/// A snapshot, or why there is none.
pub(super) type Update = Result<Snapshot, String>;

#[derive(Debug)]
pub(super) struct Feed {
    requests: watch::Sender<Request>,
    updates: watch::Receiver<Option<Update>>,
}

impl Feed {
    /// Connects and looks for the first time, so that what is wrong from the beginning is told without a screen. Later
    /// losses of the connection are told as updates.
    pub(super) async fn start(database: &Database, interval: Duration, request: Request) -> Result<Feed, Failure> {
        let volguard = connect::builder(database)?.time_limit(LIMIT).connect().await?;
        let first = in_time(&volguard, &request).await?;
        let (requests, asked) = watch::channel(request);
        let (answers, mut updates) = watch::channel(Some(Ok(first)));
        updates.mark_changed();
        tokio::spawn(look_again(volguard, interval, asked, answers));
        Ok(Feed { requests, updates })
    }

    /// Reads something else from now on.
    pub(super) fn ask(&self, request: Request) {
        self.requests.send_replace(request);
    }

    /// The next update.
    pub(super) async fn next(&mut self) -> Update {
        loop {
            if self.updates.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(update) = self.updates.borrow_and_update().clone() {
                return update;
            }
        }
    }
}

/// Runs until the screen is gone.
async fn look_again(
    volguard: Volguard,
    interval: Duration,
    mut asked: watch::Receiver<Request>,
    answers: watch::Sender<Option<Update>>,
) {
    // The first look has just been.
    let mut took = Duration::ZERO;
    loop {
        tokio::select! {
            () = sleep(interval.max(took * REST)) => {}
            changed = asked.changed() => if changed.is_err() { return },
        }
        let request = asked.borrow_and_update().clone();
        if request.is_paused {
            continue;
        }
        let began = Instant::now();
        let update = in_time(&volguard, &request).await.map_err(|failure| failure.to_string());
        if answers.send(Some(update)).is_err() {
            return;
        }
        took = began.elapsed();
    }
}

async fn in_time(volguard: &Volguard, request: &Request) -> Result<Snapshot, Failure> {
    let too_slow = |_| Failure::Unreachable(format!("no answer within {LIMIT:?}"));
    timeout(LIMIT, look(volguard, request)).await.map_err(too_slow)?
}

async fn look(volguard: &Volguard, request: &Request) -> Result<Snapshot, Failure> {
    let mut connection = volguard.connection().await?;
    let transaction = query::reading(&mut connection).await?;
    let about = texts(&transaction, ABOUT, &[]).await?;
    let mut about = about.into_iter().flatten().flatten();
    let mut next = || about.next().unwrap_or_default();
    let mut snapshot = Snapshot { database: next(), role: next(), time: next(), kind: next(), sections: Vec::new() };
    for (section, choice) in ALL.iter().zip(&request.choices) {
        snapshot.sections.push(query::rows(&transaction, section, choice, &request.filter, MOST).await?);
    }
    transaction.commit().await?;
    Ok(snapshot)
}
