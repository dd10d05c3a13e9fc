//! What a unique index has to refuse when nothing else does: two inserts that can't see each other.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::timeout;
use volguard_tests::scenario::{Site, Violation};

const LEASE: Duration = Duration::from_secs(60);
/// Longer than any call without a wait takes.
const PROMPTLY: Duration = Duration::from_secs(5);

by_both_routes!(two_open_transactions, two_works_on_one_resource, registering_again, a_counter_that_fell_back,);

/// The second one asks while the first one's insert is not committed: refused at once, and never served.
async fn two_open_transactions(site: &Site) -> anyhow::Result<()> {
    let (one, other) = (site.sql().await?, site.sql().await?);
    let (first, second) = (one.register("a", LEASE).await?, other.register("b", LEASE).await?);
    one.run("BEGIN").await?;
    let held = one.acquire(first, "v0", Duration::ZERO).await?.context("free")?;
    let refusal = other.acquire(second, "v0", Duration::ZERO);
    let Ok(refusal) = timeout(PROMPTLY, refusal).await else {
        return Err(Violation::Waiting("a wait of zero waited for an open transaction").into());
    };
    let refusal = refusal?;
    one.run("COMMIT").await?;
    match refusal {
        None => Ok(()),
        Some(token) => Err(Violation::TwoHolders { key: "v0".to_owned(), tokens: [held, token] }.into()),
    }
}

/// The wait queue keeps the second insert away from the uncommitted first one, which it would wait for.
#[tokio::test]
async fn without_the_line_a_refusal_waits() -> anyhow::Result<()> {
    let site = Site::without("WaitQueue")?;
    let violation = Violation::expected_in(two_open_transactions(&site).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

#[tokio::test]
async fn without_the_line_and_the_primary_key_two_hold() -> anyhow::Result<()> {
    let site = Site::without("WaitQueue")?;
    site.psql("ALTER TABLE volguard.workers DROP CONSTRAINT workers_pkey")?;
    let violation = Violation::expected_in(two_open_transactions(&site).await);
    assert!(matches!(violation, Violation::TwoHolders { .. }), "{violation}");
    Ok(())
}

/// Locks with different names don't exclude each other, but only one of them may have work in it.
pub async fn two_works_on_one_resource(site: &Site) -> anyhow::Result<()> {
    let (one, other) = (site.sql().await?, site.sql().await?);
    let (first, second) = (one.register("a", LEASE).await?, other.register("b", LEASE).await?);
    let work =
        |service, name, status| format!("SELECT volguard.acquire({service}, 'volume', 'v0', '{name}', '{status}')");
    one.run("BEGIN").await?;
    let extending = one.number(&work(first, "x", "extending")).await?.context("free")?;
    let copying = work(second, "y", "copying");
    let copying = other.number(&copying);
    let Ok(copying) = timeout(PROMPTLY, copying).await else {
        return Err(Violation::Waiting("a wait of zero waited for an open transaction").into());
    };
    let copying = copying?;
    one.run("COMMIT").await?;
    match copying {
        None => Ok(()),
        Some(token) => {
            Err(Violation::TwoHolders { key: "the work slot of v0".to_owned(), tokens: [extending, token] }.into())
        }
    }
}

#[tokio::test]
async fn without_the_line_and_the_work_index_two_work() -> anyhow::Result<()> {
    let site = Site::without("WaitQueue")?;
    site.psql("DROP INDEX volguard.workers_work_key")?;
    let violation = Violation::expected_in(two_works_on_one_resource(&site).await);
    assert!(matches!(violation, Violation::TwoHolders { .. }), "{violation}");
    Ok(())
}

/// Only the latest incarnation of an (owner, host, binary) lives, also if several register at once.
pub async fn registering_again(site: &Site) -> anyhow::Result<()> {
    let mut registrations = JoinSet::new();
    for _ in 0..6 {
        let sql = site.sql().await?;
        registrations.spawn(async move { sql.register("same", LEASE).await });
    }
    while let Some(registration) = registrations.join_next().await {
        registration??;
    }
    let alive = "SELECT count(*) FROM volguard.service_status WHERE host = 'same' AND state <> 'fenced'";
    match site.sql().await?.number(alive).await? {
        Some(1) => Ok(()),
        alive => Err(Violation::Trespass {
            act: "six incarnations of one service registered at once".to_owned(),
            expected: "one alive".to_owned(),
            got: format!("{alive:?} alive"),
        }
        .into()),
    }
}

#[tokio::test]
async fn without_the_fence_and_the_incarnation_index_several_live() -> anyhow::Result<()> {
    let site = Site::without("Fence")?;
    site.psql("DROP INDEX volguard.services_identity_key")?;
    let violation = Violation::expected_in(registering_again(&site).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

fn was_set_back(error: &tokio_postgres::Error) -> bool {
    let report = error.as_db_error();
    report.is_some_and(|report| report.message().ends_with("was set back"))
}

/// An admin has set the sequence back, where it is ahead of the clock and so is not moved:
/// a number that is in use is refused, and is never given out twice.
async fn a_counter_that_fell_back(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let service = sql.register("a", LEASE).await?;
    site.psql("SELECT setval('volguard.clock', last_value + (30::bigint << 22)) FROM volguard.clock")?;
    for number in 0..20 {
        if number == 10 {
            site.psql("SELECT setval('volguard.clock', last_value - 10) FROM volguard.clock")?;
        }
        let key = format!("v{number}");
        match sql.acquire(service, &key, LEASE).await {
            Ok(token) => drop(token.context("free")?),
            // Each try draws a number, so the refusals end after some tries even if the sequence is not corrected.
            Err(error) if number >= 10 && was_set_back(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let twice = "SELECT token FROM volguard.lock_status GROUP BY token HAVING count(*) > 1";
    match sql.number(twice).await? {
        None => Ok(()),
        Some(token) => Err(Violation::TwoHolders { key: "two keys".to_owned(), tokens: [token, token] }.into()),
    }
}

#[tokio::test]
async fn without_the_token_index_two_locks_have_one_token() -> anyhow::Result<()> {
    let site = Site::without("")?;
    site.psql("DROP INDEX volguard.workers_token_key")?;
    let violation = Violation::expected_in(a_counter_that_fell_back(&site).await);
    assert!(matches!(violation, Violation::TwoHolders { .. }), "{violation}");
    Ok(())
}
