//! Futures that are dropped when their connection has broken, and before the client can ask again.

use anyhow::Context;
use volguard::{Error, Lock};
use volguard_tests::scenario::{Cut, Site};

use super::LONG;
use super::stage::Stage;

by_both_routes!(acquire, acquire_all, release);

/// The statement never arrives, or is executed without an answer. Each has a session of its own: one that has lost an
/// answer asks in the background, which the next cut could hit instead of the call.
const CUTS: [Cut; 2] = [Cut::Request, Cut::Reply { keep: 0 }];

/// Its output, if it has any, is an error that says that it goes on.
async fn dropped_when_it_breaks<T>(
    stage: &Stage,
    cut: Cut,
    future: impl Future<Output = Result<T, Error>>,
) -> anyhow::Result<()> {
    stage.proxy.refuse(true);
    stage.proxy.cut(0, cut);
    tokio::select! {
        output = future => assert!(output.is_err_and(|error| error.is_retryable())),
        () = stage.proxy.struck() => {}
    }
    anyhow::ensure!(stage.proxy.has_struck());
    stage.proxy.refuse(false);
    stage.is_clean().await
}

async fn held(stage: &Stage) -> anyhow::Result<Lock> {
    let lock = stage.session.acquire(("volume", "v0")).await?;
    lock.context("free")
}

async fn acquire(site: &Site) -> anyhow::Result<()> {
    for cut in CUTS {
        let stage = Stage::new(site).await?;
        held(&stage).await?.release().await?;
        let acquire = stage.session.acquire(("volume", "v0")).wait(LONG).into_future();
        dropped_when_it_breaks(&stage, cut, acquire).await?;
        stage.end().await?;
    }
    Ok(())
}

async fn acquire_all(site: &Site) -> anyhow::Result<()> {
    for cut in CUTS {
        let stage = Stage::new(site).await?;
        let all = || stage.session.acquire([("volume", "v1"), ("volume", "v0")]);
        all().await?.context("free")?.release().await?;
        dropped_when_it_breaks(&stage, cut, all().wait(LONG).into_future()).await?;
        stage.end().await?;
    }
    Ok(())
}

async fn release(site: &Site) -> anyhow::Result<()> {
    for cut in CUTS {
        let stage = Stage::new(site).await?;
        held(&stage).await?.release().await?;
        let lock = held(&stage).await?;
        dropped_when_it_breaks(&stage, cut, lock.release()).await?;
        stage.end().await?;
    }
    Ok(())
}
