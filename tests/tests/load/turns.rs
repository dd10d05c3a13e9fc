//! No waiter is served twice as often as another; without the wait queue that is not so.

use volguard_tests::scenario::{Route, Site};
use volguard_tests::soak::{Order, take_turns};

use crate::SETTLED;

const HAND_OVERS: usize = 2000;

async fn fair(route: Route, waiters: usize) -> anyhow::Result<()> {
    let site = Site::new(route)?;
    let mut turns = take_turns(&site.url(), "v0", waiters, HAND_OVERS, Order::Line).await?;
    println!("{turns}");
    // A session that stands still for a second is not in the queue, and the others are served meanwhile. But not three
    // times.
    for key in ["v1", "v2"] {
        if !turns.is_fair() {
            turns = take_turns(&site.url(), key, waiters, HAND_OVERS, Order::Line).await?;
            println!("{turns}");
        }
    }
    assert!(turns.is_fair(), "{turns}");
    site.observer().await?.until_settled(SETTLED).await
}

#[tokio::test]
async fn among_two() -> anyhow::Result<()> {
    fair(Route::Direct, 2).await
}

#[tokio::test]
async fn among_8() -> anyhow::Result<()> {
    fair(Route::Direct, 8).await
}

#[tokio::test]
async fn among_8_behind_a_pooler() -> anyhow::Result<()> {
    fair(Route::Pooled, 8).await
}

#[tokio::test]
async fn among_32() -> anyhow::Result<()> {
    fair(Route::Direct, 32).await
}

/// The releasing session is the first to try again.
#[tokio::test]
async fn without_the_line_one_is_served_and_the_others_starve() -> anyhow::Result<()> {
    let site = Site::without("WaitQueue")?;
    let turns = take_turns(&site.url(), "v0", 8, HAND_OVERS, Order::Chance).await?;
    println!("without the wait queue: {turns}");
    assert!(!turns.is_fair(), "{turns}");
    Ok(())
}
