//! Two sessions find the sequence in a new place at once.

use std::sync::Arc;

use volguard_tests::scenario::{Sql, until};

use super::draws::{Build, are_back, next, session};

/// The first stands still under the mover's lock, after it has decided where to move the sequence.
async fn two_movers(guards: &'static str) -> anyhow::Result<()> {
    let server = Build::without(guards).server()?;
    let service = session(&server).await?.register("node", std::time::Duration::from_secs(3600)).await?;
    server.psql("SELECT setval('volguard.place', 0)")?;
    let superuser = Arc::new(Sql::connect(&server.url()).await?);
    superuser.run("SELECT pg_advisory_lock(1)").await?;
    server.psql("ALTER ROLE manager SET volguard.pause = 'Mover'")?;
    let first = session(&server).await?;
    server.psql("ALTER ROLE manager RESET volguard.pause")?;
    let second = session(&server).await?;

    let first =
        tokio::spawn(
            async move { first.number(&format!("SELECT volguard.acquire({service}, 'volume', 'first')")).await },
        );
    let paused = "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objsubid = 1";
    until("the first to stand still", async || Ok(superuser.holds(paused).await?.then_some(()))).await?;
    let second = tokio::spawn(async move {
        let mut drawn = Vec::new();
        for _ in 0..3 {
            let acquire = format!("SELECT volguard.acquire({service}, 'volume', 'second')");
            second.run("BEGIN").await?;
            next(&second, &acquire, &mut drawn).await?;
            second.run("ROLLBACK").await?;
        }
        anyhow::Ok(drawn)
    });
    // The lock of the mover is one of our own kinds.
    let waits = "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objsubid > 2";
    until("the second to wait, or to be done", async || {
        Ok((second.is_finished() || superuser.holds(waits).await?).then_some(()))
    })
    .await?;
    // A move goes past the numbers of all rows that are there, rolled back or not.
    superuser.run("VACUUM volguard.workers").await?;
    superuser.run("SELECT pg_advisory_unlock(1)").await?;
    let mut drawn = second.await??;
    drawn.extend(first.await??);
    let third = session(&server).await?;
    next(&third, &format!("SELECT volguard.acquire({service}, 'volume', 'third')"), &mut drawn).await?;
    Ok(())
}

#[tokio::test]
async fn one_session_at_a_time_moves_the_sequence() -> anyhow::Result<()> {
    two_movers("").await
}

#[tokio::test]
async fn without_the_movers_lock_the_sequence_is_set_back() {
    are_back(two_movers("Mover").await);
}
