//! Fail-over of three servers with clients at work, and two promotions that know nothing of one another. `make drill`
//! plays more of it.

use std::path::Path;

use volguard_tests::Profile;
use volguard_tests::drill::{Mode, Options, Outcome, fork, play};
use volguard_tests::history::Rule;

const CLIENT: &str = env!("CARGO_BIN_EXE_soak-client");

async fn drill(mode: Mode, rounds: usize) -> anyhow::Result<Outcome> {
    let outcome = play(&Options::new(Path::new(CLIENT).to_owned(), mode, rounds)).await?;
    println!("{outcome}");
    assert_eq!(outcome.rounds.len(), rounds);
    let served = outcome.rounds.iter().filter(|round| round.until_first_lock.is_some()).count();
    assert_eq!(served, rounds, "each new primary has given a lock: {outcome}");
    Ok(outcome)
}

/// All rules hold over the fail-over: no acknowledged call is lost, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_synchronous_standby_nothing_acknowledged_is_lost() -> anyhow::Result<()> {
    let outcome = drill(Mode::Synchronous, 3).await?;
    assert!(outcome.offences.is_empty(), "{outcome}");
    assert_eq!(outcome.lost(), 0);
    Ok(())
}

/// Postgres loses acknowledged commits here, and volguard with it. Tokens and service ids grow nevertheless, and what
/// is left makes sense. So a drill sees what the other one must not find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_standbys_that_lag_tokens_and_ids_grow_though_locks_are_lost() -> anyhow::Result<()> {
    let outcome = drill(Mode::Lagging, 3).await?;
    assert!(outcome.offences.is_empty(), "{outcome}");
    assert!(outcome.rounds.iter().all(|round| round.lost > 0), "{outcome}");
    Ok(())
}

/// Clients of both must not get the same token: a storage that both reach could not tell them apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_promotions_that_know_nothing_of_one_another_share_no_number() -> anyhow::Result<()> {
    let offences = fork(Profile::Debug).await?;
    let twice = |rule| offences.iter().filter(|offence| offence.rule == rule).count();
    let (tokens, ids) = (twice(Rule::TokensUnique), twice(Rule::IdsUnique));
    let first = offences.first().map_or(String::new(), ToString::to_string);
    assert!(
        offences.is_empty(),
        "{tokens} tokens and {ids} service ids were given twice; the first violation: {first}"
    );
    Ok(())
}
