//! At most one holder at a time, and tokens that grow.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use volguard_tests::scenario::{Ledger, Party, Route, Site, Violation, Worker, WorkerOptions};

const LEASE: Duration = Duration::from_secs(60);
const KEYS: usize = 3;
const SETTLED: Duration = Duration::from_secs(60);

by_both_routes!(tasks_of_the_client, plain_connections, processes, many_locks_on_few_connections,);

fn keys() -> Vec<String> {
    (0..KEYS).map(|number| format!("v{number}")).collect()
}

/// Lets every party visit the keys in turn, all at once, and checks the ledger afterwards.
async fn contest(site: &Site, parties: Vec<Party>, rounds: usize) -> anyhow::Result<()> {
    let ledger = Ledger::open(&site.url()).await?;
    ledger.add(&keys()).await?;
    let expected = parties.len() * rounds;
    let mut contests = JoinSet::new();
    for (start, mut party) in parties.into_iter().enumerate() {
        let own = Ledger::open(&site.url()).await?;
        contests.spawn(async move { party.contest(&own, &keys(), start, rounds).await });
    }
    while let Some(contest) = contests.join_next().await {
        contest??;
    }
    assert_eq!(ledger.audit().await?, expected as u64);
    site.observer().await?.until_settled(SETTLED).await
}

/// Two services in one process, four tasks each.
pub async fn tasks_of_the_client(site: &Site) -> anyhow::Result<()> {
    let mut parties = Vec::new();
    for host in ["a", "b"] {
        let volguard = site.volguard().await?;
        let session = volguard.register(host, "tasks").await?;
        parties.extend((0..4).map(|_| Party::Client(session.clone())));
    }
    contest(site, parties, 30).await
}

pub async fn plain_connections(site: &Site) -> anyhow::Result<()> {
    contest(site, plain(site, 8).await?, 30).await
}

async fn plain(site: &Site, count: usize) -> anyhow::Result<Vec<Party>> {
    let mut parties = Vec::new();
    for number in 0..count {
        let sql = site.sql().await?;
        let service = sql.register(&format!("node-{number}"), LEASE).await?;
        parties.push(Party::Plain { sql, service });
    }
    Ok(parties)
}

#[tokio::test]
async fn a_party_without_a_lock_is_noticed() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let mut parties = plain(&site, 2).await?;
    parties.push(Party::Reckless(1 << 60));
    // The contest ends when it is noticed, which may take long where one party stands still.
    let violation = Violation::expected_in(contest(&site, parties, 5000).await);
    assert!(matches!(violation, Violation::TwoHolders { .. }), "{violation}");
    Ok(())
}

/// Four processes, with a session each.
async fn processes(site: &Site) -> anyhow::Result<()> {
    const PROCESSES: usize = 4;
    const ROUNDS: usize = 40;
    // With polls of a second instead of wake-ups each hand-over would take that long.
    const LIMIT: Duration = Duration::from_secs(30);
    let ledger = Ledger::open(&site.url()).await?;
    ledger.add(&keys()).await?;
    let started = Instant::now();
    let mut contests = JoinSet::new();
    for number in 0..PROCESSES {
        let options = WorkerOptions {
            url: site.url(),
            mode: site.statement_mode(),
            host: &format!("node-{number}"),
            lease: LEASE,
            janitor: None,
        };
        let mut worker = Worker::start(super::LOCK_WORKER.as_ref(), &options).await?;
        let verb = format!("contest {number} {ROUNDS} {}", keys().join(" "));
        contests.spawn(async move { worker.ask(&verb).await });
    }
    while let Some(contest) = contests.join_next().await {
        contest??;
    }
    let (took, limit) = (started.elapsed(), LIMIT);
    if took > limit {
        let what = "taking turns";
        return Err(Violation::Late { what, took, limit }.into());
    }
    assert_eq!(ledger.audit().await?, (PROCESSES * ROUNDS) as u64);
    site.observer().await?.until_settled(SETTLED).await
}

/// Two inserts at once are rare; a trigger that holds each until the next full second makes them certain.
pub const TWO_AT_ONCE: &str = "ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey;
     CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_sleep((1 - extract(epoch FROM clock_timestamp()) % 1)::float8); RETURN NULL; END';
     CREATE TRIGGER dawdle AFTER INSERT ON volguard.workers
         FOR EACH ROW EXECUTE FUNCTION app.dawdle()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_line_and_the_primary_key_two_hold() -> anyhow::Result<()> {
    let site = Site::without("WaitQueue")?;
    site.psql(TWO_AT_ONCE)?;
    let parties = plain(&site, 8).await?;
    let violation = Violation::expected_in(contest(&site, parties, 20).await);
    // Of two that hold at once, the one with the larger token may be done with its visit before the other begins.
    let two = matches!(violation, Violation::TwoHolders { .. } | Violation::TokenWentBack { .. });
    assert!(two, "{violation}");
    Ok(())
}

/// Locks are in the table and nowhere else: thousands of them need no more connections than one.
async fn many_locks_on_few_connections(site: &Site) -> anyhow::Result<()> {
    const LOCKS: usize = 3000;
    const TASKS: usize = 3;
    let volguard = site.builder().pool_size(4).connect().await?;
    // A janitor would have a connection of its own, from time to time.
    let session = volguard.register("a", "many").janitor(None).await?;
    let mut takers = JoinSet::new();
    for task in 0..TASKS {
        let session = session.clone();
        takers.spawn(async move {
            let mut locks = Vec::new();
            for number in 0..LOCKS / TASKS {
                let key = format!("{task}-{number}");
                locks.push(session.acquire(("volume", key)).await?.expect("no other session wants it"));
            }
            Ok::<_, volguard::Error>(locks)
        });
    }
    let mut locks = Vec::new();
    while let Some(taken) = takers.join_next().await {
        locks.extend(taken??);
    }
    let observer = site.observer().await?;
    let held = observer.sql().number("SELECT count(*) FROM volguard.lock_status WHERE alive").await?;
    assert_eq!(held, Some(LOCKS as i64));
    // The pool's connection, and the one for heartbeats.
    assert!(observer.connections().await? <= 5);
    assert_eq!(session.release_all(locks).await?, LOCKS as u64);
    observer.until_settled(SETTLED).await
}
