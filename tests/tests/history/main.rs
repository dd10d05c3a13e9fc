//! The judge reports a missing guard: short storms, each with the faults that the missing guard should have survived.
//!
//! With every guard in place this is `make soak`, which `make test` runs for a while.

use std::time::Duration;

use anyhow::bail;
use volguard_tests::history::Rule;
use volguard_tests::soak::{Fault, Options, play};

/// Few clients, few keys, and only this kind of fault.
fn storm(faults: &[Fault]) -> Options {
    let mut options = Options::new(env!("CARGO_BIN_EXE_soak-client").into(), 1);
    options.duration = Duration::from_secs(3);
    options.clients = 6;
    options.lease = Duration::from_secs(1);
    options.habits.hot_keys = 2;
    options.habits.workers = 0;
    options.deck = faults.to_vec();
    // What is lost for good must not be waited for.
    options.calm = Duration::from_secs(2);
    options
}

/// Chance decides whether a storm hits the gap. One of ten storms
/// has to; usually the first one does, unless the machine is busy.
async fn breaks(mut options: Options, rule: Rule) -> anyhow::Result<()> {
    for seed in 1..=10 {
        options.seed = seed;
        let outcome = play(&options).await?;
        let breaches = outcome.breaches(rule);
        println!("storm {seed}: {rule:?} was broken {breaches} times");
        outcome.forget()?;
        if breaches > 0 {
            return Ok(());
        }
    }
    bail!("{rule:?} was never broken");
}

/// Makes a rare case frequent: an acquire takes this many seconds more before it commits.
fn slow_inserts(seconds: f64) -> String {
    format!(
        "CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
         CREATE TRIGGER dawdle AFTER INSERT ON volguard.workers FOR EACH ROW EXECUTE FUNCTION app.dawdle();"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_line_and_the_primary_key_two_hold_one_key() -> anyhow::Result<()> {
    let mut options = storm(&[]).without("WaitQueue");
    options.prepare += "ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey;";
    options.prepare += &slow_inserts(0.03);
    breaks(options, Rule::OneHolder).await
}

/// A client hangs up, releases, and its write is still running.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hold_a_release_overtakes_a_write() -> anyhow::Result<()> {
    let mut options = storm(&[]).without("Hold");
    options.habits.abandoned = 50;
    options.prepare += "
        CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END';
        CREATE TRIGGER dawdle BEFORE UPDATE ON app.resources FOR EACH ROW EXECUTE FUNCTION app.dawdle();";
    breaks(options, Rule::WritesUnderLock).await
}

/// Clients are stopped until they are dead and cleaned up, and then continue.
fn zombies() -> Options {
    let mut options = storm(&[Fault::Freeze, Fault::Cleanup]);
    options.duration = Duration::from_secs(5);
    options.lease = Duration::from_millis(500);
    options.gap = Duration::from_millis(100);
    options.standstill = [1.1, 1.6];
    options.habits.hot_keys = 50;
    options
}

/// Most of the time they hold a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fence_zombies_write() -> anyhow::Result<()> {
    let mut options = zombies();
    options.habits.pause = Duration::from_millis(300);
    options.habits.writes = 10;
    options.habits.fenced = false;
    breaks(options, Rule::WritesUnderLock).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_mark_of_the_dead_the_living_lose_locks() -> anyhow::Result<()> {
    let mut options = zombies().without("Fence");
    options.habits.pause = Duration::from_millis(300);
    breaks(options, Rule::OnlyTheDeadLoseLocks).await
}

/// Most of the time one of their acquires is running, which commits when its service is dead. Their leases are
/// long enough that a busy machine doesn't lose them before they are stopped: a lost client cancels its acquire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_gate_the_dead_take_locks() -> anyhow::Result<()> {
    let mut options = zombies().without("ServiceLock");
    options.lease = Duration::from_millis(1500);
    options.clients = 8;
    options.habits.visitors = 6;
    // A client that continues while its acquire is running cancels it too.
    options.standstill = [2.2, 2.6];
    options.duration = Duration::from_secs(10);
    options.gap = Duration::from_millis(250);
    options.prepare += &slow_inserts(3.0);
    breaks(options, Rule::DeadStayDead).await
}

/// Many submit work on few resources.
fn workers() -> Options {
    let mut options = storm(&[]);
    options.habits.workers = 3;
    options.habits.jobs = 3;
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_one_commit_a_status_and_its_work_are_apart() -> anyhow::Result<()> {
    breaks(workers().without("SubmitTogether"), Rule::StatusWithWork).await
}

/// Between the look at a piece of work and its change there is time for another service to look at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lock_two_services_take_one_piece_of_work() -> anyhow::Result<()> {
    let mut options = workers().without("TakeLocked");
    options.prepare += "
        CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END';
        CREATE TRIGGER dawdle BEFORE UPDATE ON volguard.workers FOR EACH ROW EXECUTE FUNCTION app.dawdle();";
    breaks(options, Rule::OneHolder).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_attempt_the_rule_comes_first() -> anyhow::Result<()> {
    let mut options = workers().without("RetryFirst");
    options.deck = vec![Fault::Kill];
    options.gap = Duration::from_millis(150);
    options.lease = Duration::from_millis(500);
    options.habits.lingering = 1.0;
    options.duration = Duration::from_secs(5);
    options.calm = Duration::from_secs(20);
    breaks(options, Rule::AttemptsGrow).await
}
