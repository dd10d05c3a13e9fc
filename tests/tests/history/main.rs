//! The judge sees it when a guard is gone: short storms, each of the kind that the missing guard should have weathered.
//!
//! With every guard in its place it is `make soak`, of which `make test` plays a minute.

use std::time::Duration;

use volguard_tests::history::Rule;
use volguard_tests::soak::{Fault, Options, play};

/// Few clients, few keys, and nothing but this happens to them.
fn storm(faults: &[Fault]) -> Options {
    let mut options = Options::new(env!("CARGO_BIN_EXE_soak-client").into(), 1);
    options.duration = Duration::from_secs(6);
    options.clients = 6;
    options.lease = Duration::from_secs(1);
    options.habits.hot_keys = 2;
    options.deck = faults.to_vec();
    // What is lost for good must not be waited for.
    options.calm = Duration::from_secs(4);
    options
}

async fn breaks(options: &Options, rule: Rule) -> anyhow::Result<()> {
    let outcome = play(options).await?;
    assert!(outcome.breaks(rule), "{rule:?} holds: {outcome}");
    outcome.forget()
}

/// Makes what is rare frequent: an acquire takes so many seconds more before it commits.
fn slow_inserts(seconds: f64) -> String {
    format!(
        "CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
         CREATE TRIGGER dawdle AFTER INSERT ON volguard.workers FOR EACH ROW EXECUTE FUNCTION app.dawdle();"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_line_and_the_primary_key_two_hold_one_key() -> anyhow::Result<()> {
    let mut options = storm(&[]).without("Line");
    options.prepare += "ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey;";
    options.prepare += &slow_inserts(0.03);
    breaks(&options, Rule::OneHolder).await
}

/// Nobody is stopped in the middle of a statement: the zombies write when their locks have long passed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fence_zombies_write() -> anyhow::Result<()> {
    let mut options = storm(&[Fault::Freeze]);
    options.habits.fenced = false;
    options.gap = Duration::from_millis(300);
    options.duration = Duration::from_secs(10);
    breaks(&options, Rule::WritesUnderLock).await
}

/// A client hangs up, releases, and its write is still under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hold_a_release_overtakes_a_write() -> anyhow::Result<()> {
    let mut options = storm(&[]).without("Hold");
    options.habits.abandoned = 50;
    options.prepare += "
        CREATE FUNCTION app.dawdle() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END';
        CREATE TRIGGER dawdle BEFORE UPDATE ON app.resources FOR EACH ROW EXECUTE FUNCTION app.dawdle();";
    breaks(&options, Rule::WritesUnderLock).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fencing_write_the_living_lose_their_locks() -> anyhow::Result<()> {
    let mut options = storm(&[Fault::Freeze]).without("Fence");
    options.gap = Duration::from_millis(300);
    breaks(&options, Rule::OnlyTheDeadLoseLocks).await
}

/// A client is stopped while its acquire is under way, and is dead before that commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_gate_the_dead_take_locks() -> anyhow::Result<()> {
    let faults = [Fault::Freeze, Fault::Cleanup, Fault::Cleanup];
    let mut options = storm(&faults).without("Gate");
    options.prepare += &slow_inserts(1.5);
    options.gap = Duration::from_millis(150);
    options.duration = Duration::from_secs(10);
    breaks(&options, Rule::DeadStayDead).await
}
