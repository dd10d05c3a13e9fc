//! Two processes, one storage without a fence, and a network between one of them and the server with every kind
//! of network fault: the two never both write, because a process that may have lost its lock stops in time.
//!
//! Their writes are judged afterwards: by the tokens in the order of
//! the storage, and by the times of a clock that both processes share.

mod clock;
mod stage;
mod weather;

use std::time::Duration;

use tokio::time::sleep;
use volguard_tests::scenario::{Conduct, Cut, Direction, Proxy, Road, Route, Site};

use self::stage::{Stage, until_written};

/// Half of it is enough for a busy machine: a session is lost when it has been silent for that long after a heartbeat.
const LEASE: Duration = Duration::from_secs(8);
/// For a session that has to survive by a part of its lease: the rest is enough for a busy machine.
const LONG_LEASE: Duration = Duration::from_secs(20);
/// Where each answer takes a fifth of the lease. A heartbeat may take a twelfth more, which is the time that a busy
/// machine has.
const LONGEST_LEASE: Duration = Duration::from_secs(24);

fn block(proxy: &Proxy, directions: &[Direction]) {
    for direction in directions {
        proxy.set_road(*direction, Road::Blocked);
    }
}

fn mend(proxy: &Proxy) {
    proxy.set_road(Direction::Request, Road::Open);
    proxy.set_road(Direction::Reply, Road::Open);
    proxy.refuse(false);
}

/// The first writer can't go on, the second takes over, and when
/// the network works again the first comes back as another.
async fn is_handed_over(strike: impl Fn(&Proxy)) -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let mut stage = Stage::set(&site, LEASE, Conduct::Guarded, &[]).await?;
    strike(&stage.proxy);
    stage.first.until_it_is_lost().await?;
    let heir = stage.second.until_it_holds().await?;
    stage.until_written(heir).await?;
    mend(&stage.proxy);
    stage.first.until_it_registers().await?;
    stage.second.stop().await?;
    let third = stage.first.until_it_holds().await?;
    until_written(&stage.disk, third).await?;
    stage.first.stop().await?;
    let turns = stage.disk.audit()?;
    let tokens: Vec<_> = turns.iter().map(|turn| turn.token).collect();
    assert_eq!(tokens, [stage.token, heir, third]);
    stage.disk.remove()
}

/// Nothing happens to the first writer: it keeps its lock for another lease.
async fn is_survived(lease: Duration, strike: impl AsyncFn(&Proxy)) -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let mut stage = Stage::set(&site, lease, Conduct::Guarded, &[]).await?;
    strike(&stage.proxy).await;
    stage.until_heartbeats_of(lease).await?;
    let turns = stage.disk.audit()?;
    assert!(turns.len() == 1 && turns[0].token == stage.token, "{turns:?}");
    mend(&stage.proxy);
    stage.first.stop().await?;
    let heir = stage.second.until_it_holds().await?;
    assert!(heir > stage.token);
    stage.second.stop().await?;
    stage.disk.audit()?;
    stage.disk.remove()
}

#[tokio::test]
async fn a_black_hole_on_the_way_there() -> anyhow::Result<()> {
    is_handed_over(|proxy| block(proxy, &[Direction::Request])).await
}

/// The server hears the heartbeats, and the writer does not hear the answers.
#[tokio::test]
async fn a_black_hole_on_the_way_back() -> anyhow::Result<()> {
    is_handed_over(|proxy| block(proxy, &[Direction::Reply])).await
}

#[tokio::test]
async fn a_black_hole_both_ways() -> anyhow::Result<()> {
    is_handed_over(|proxy| block(proxy, &[Direction::Request, Direction::Reply])).await
}

#[tokio::test]
async fn connections_that_lead_nowhere_and_no_new_ones() -> anyhow::Result<()> {
    is_handed_over(|proxy| {
        proxy.strand();
        proxy.refuse(true);
    })
    .await
}

#[tokio::test]
async fn a_cut_connection_and_no_new_one() -> anyhow::Result<()> {
    is_handed_over(|proxy| {
        proxy.cut(0, Cut::Request);
        proxy.refuse(true);
    })
    .await
}

/// Slower than a heartbeat may be so that another one fits in after its failure.
#[tokio::test]
async fn answers_that_are_too_slow() -> anyhow::Result<()> {
    is_handed_over(|proxy| proxy.set_road(Direction::Reply, Road::Slow(LEASE * 2 / 5))).await
}

#[tokio::test]
async fn answers_that_are_as_slow_as_a_lease() -> anyhow::Result<()> {
    is_handed_over(|proxy| proxy.set_road(Direction::Reply, Road::Slow(LEASE * 95 / 100))).await
}

#[tokio::test]
async fn answers_that_are_just_fast_enough() -> anyhow::Result<()> {
    is_survived(LONGEST_LEASE, async |proxy| proxy.set_road(Direction::Reply, Road::Slow(LONGEST_LEASE / 5))).await
}

#[tokio::test]
async fn requests_that_are_just_fast_enough() -> anyhow::Result<()> {
    is_survived(LONGEST_LEASE, async |proxy| proxy.set_road(Direction::Request, Road::Slow(LONGEST_LEASE / 5))).await
}

#[tokio::test]
async fn connections_that_lead_nowhere() -> anyhow::Result<()> {
    is_survived(LONG_LEASE, async |proxy| proxy.strand()).await
}

#[tokio::test]
async fn a_cut_connection() -> anyhow::Result<()> {
    is_survived(LEASE, async |proxy| proxy.cut(0, Cut::Reply { keep: 3 })).await
}

#[tokio::test]
async fn a_short_black_hole() -> anyhow::Result<()> {
    is_survived(LONG_LEASE, async |proxy| {
        block(proxy, &[Direction::Request, Direction::Reply]);
        sleep(LONG_LEASE / 3).await;
        mend(proxy);
    })
    .await
}

/// The heartbeats had arrived, so the server would have waited: but the program may have acted on the loss.
#[tokio::test]
async fn answers_that_come_after_the_loss() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let mut stage = Stage::set(&site, LEASE, Conduct::Guarded, &[]).await?;
    block(&stage.proxy, &[Direction::Reply]);
    stage.first.until_it_is_lost().await?;
    mend(&stage.proxy);
    let again = stage.first.until_it_registers().await?;
    assert!(again > stage.service);
    // The second waits for two seconds at a time. If the lock became free between two of these, the first has it again.
    stage.first.stop().await?;
    let heir = stage.second.until_it_holds().await?;
    until_written(&stage.disk, heir).await?;
    stage.second.stop().await?;
    stage.disk.audit()?;
    stage.disk.remove()
}

/// Its network works, and the process itself is stopped.
#[tokio::test]
async fn a_process_that_is_stopped_beyond_its_lease() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let mut stage = Stage::set(&site, LEASE, Conduct::Guarded, &[]).await?;
    stage.first.freeze().await?;
    let heir = stage.second.until_it_holds().await?;
    stage.until_written(heir).await?;
    stage.first.wake()?;
    stage.first.until_it_is_lost().await?;
    stage.first.until_it_registers().await?;
    stage.second.stop().await?;
    stage.first.stop().await?;
    stage.disk.audit()?;
    stage.disk.remove()
}

/// A program that never checks whether its lock is lost, and writes
/// without a fence: nothing can protect it, and the audit sees it.
#[tokio::test]
async fn without_a_look_at_the_lease_two_write() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let mut stage = Stage::set(&site, LEASE, Conduct::Heedless, &[]).await?;
    block(&stage.proxy, &[Direction::Request]);
    let heir = stage.second.until_it_holds().await?;
    stage.must_show_two_writers(heir).await
}
