//! Arguments of any size, and memory that ends: the call fails, or its session ends, and the server goes on.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Route, Site, Sql, Violation, sqlstate, until};
use volguard_tests::{PrivateServer, Profile};

use crate::distribution::{furnish, manager as service, next, submit};
use crate::server::{manager, server};

const LEASE: Duration = Duration::from_secs(300);

/// What a session may still allocate, in bytes: enough for a list of tokens as Postgres keeps it, and not for what a
/// call makes of it.
const LEFT: u64 = 24 << 20;

/// Gives a session so much memory more than it has. The server's own user may do that.
async fn leave(server: &PrivateServer, session: &Sql, bytes: u64) -> anyhow::Result<()> {
    let pid = session.pid().await?;
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = pages.split(' ').next().context("the size comes first")?.parse()?;
    let limit = pages * 4096 + bytes;
    server.psql(&format!("COPY (SELECT 1) TO PROGRAM 'prlimit --pid {pid} --as={limit} && cat >/dev/null'"))?;
    Ok(())
}

/// A session that runs out of memory in the middle of a call, and another one beside it. The server is theirs alone: a
/// session that crashes takes all sessions with it.
async fn out_of_memory(server: &PrivateServer) -> anyhow::Result<()> {
    let url = manager(server);
    let (session, other) = (Sql::connect(&url).await?, Sql::connect(&url).await?);
    session.register("a", LEASE).await?;
    session
        .run(
            "CREATE TEMP TABLE list (tokens bigint[]);
             ALTER TABLE list ALTER tokens SET STORAGE EXTERNAL;
             INSERT INTO list SELECT array_agg(n) FROM generate_series(1::bigint, 1900000) AS n",
        )
        .await?;
    leave(server, &session, LEFT).await?;
    let failed = session.run("SELECT volguard.release_all(tokens) FROM list").await;
    let failed = failed.err().context("there is no memory for it")?;
    let Some(report) = failed.as_db_error() else {
        // It went without a word. The postmaster may end the others a moment later; a statement of theirs sees it.
        let ended = other.run("SELECT pg_sleep(60)").await.err().context("only one session ended")?;
        return Err(Violation::Died(format!("{ended:?}")).into());
    };
    assert_eq!((report.severity(), report.code().code()), ("FATAL", "53200"), "{failed:?}");
    other.run("SELECT volguard.register_service('b', 'x')").await?;
    Ok(())
}

#[tokio::test]
async fn a_session_without_memory_ends_alone() -> anyhow::Result<()> {
    out_of_memory(&server(Profile::Debug)?).await
}

#[tokio::test]
async fn without_the_guard_the_whole_server_crashes() -> anyhow::Result<()> {
    let server = server(Profile::Sabotage)?;
    server.psql("ALTER DATABASE volguard SET volguard.sabotage = 'OrFatal'")?;
    let violation = Violation::expected_in(out_of_memory(&server).await);
    assert!(matches!(violation, Violation::Died(_)), "{violation}");
    Ok(())
}

/// Lists and documents that are too large, each with the code of its refusal.
const TOO_LARGE: [(&str, &str); 7] = [
    ("acquire_all({s}, (SELECT jsonb_agg(n) FROM generate_series(1, 700000) AS n))", "VG003"),
    ("acquire_all({s}, (SELECT jsonb_agg(n) FROM generate_series(1, 1200000) AS n))", "54000"),
    ("acquire({s}, 'volume', 'v1', details => to_jsonb(repeat('x', 20000000)))", "54000"),
    ("release_all((SELECT array_agg(n) FROM generate_series(1::bigint, 3000000) AS n))", "54000"),
    (
        "conditional_update('app.volumes', '{\"id\": \"v1\"}', (SELECT jsonb_object_agg(n, n) FROM generate_series(1, 400000) AS n))",
        "VG003",
    ),
    (
        "conditional_update('app.volumes', '{\"id\": \"v1\"}', '{\"size\": 1}', jsonb_build_object('size', (SELECT jsonb_agg(n) FROM generate_series(1, 400000) AS n)))",
        "VG003",
    ),
    (
        "conditional_update('app.volumes', '{\"id\": \"v1\"}', '{\"size\": 1}', filter_sql => repeat(' ', 17000000))",
        "54000",
    ),
];

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let session = site.sql().await?;
    let service = session.register("a", LEASE).await?;
    for (call, code) in TOO_LARGE {
        let call = format!("SELECT * FROM volguard.{}", call.replace("{s}", &service.to_string()));
        let failed = session.run(&call).await.err().with_context(|| call.clone())?;
        assert_eq!(sqlstate(&failed), code, "{call}: {failed:?}");
    }
    Ok(())
}

/// What a session has allocated, in kB.
fn allocated(pid: i64) -> anyhow::Result<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("a line of the kernel")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A call waits while others take what is first in a hundred lanes. It is woken again and again, and looks at all of
/// them.
#[tokio::test]
async fn a_call_that_looks_often_takes_no_more_memory() -> anyhow::Result<()> {
    const LANES: u32 = 100;
    /// In kB. Ten bytes a lane and a look are more.
    const MOST: i64 = 512;
    let site = Site::new(Route::Direct)?;
    let (sql, taker, waiter) = (site.sql().await?, site.sql().await?, site.sql().await?);
    let one = furnish(&sql).await?;
    for lane in 1..=LANES {
        sql.run(&submit(lane, &format!(", priority => {lane}"))).await?;
    }
    taker.run("BEGIN").await?;
    taker.run(&next(one, &format!(", {LANES}"))).await?;
    let (two, pid) = (service(&sql, "b").await?, waiter.pid().await?);
    let call = next(two, ", wait => '30 s'");
    // On a busy machine one call may end before all has happened.
    let waiting = tokio::spawn(async move {
        loop {
            if let Some(work) = waiter.number(&call).await? {
                return anyhow::Ok(work);
            }
        }
    });
    let seen = format!("SELECT EXISTS (SELECT FROM volguard.waiters WHERE pid = {pid})");
    until("the call waits", async || Ok(sql.holds(&seen).await?.then_some(()))).await?;
    let wake =
        format!("SELECT volguard.cancel_work(({}))", submit(LANES + 1, ", not_before => now() + interval '1 h'"));
    let mut before = 0;
    for round in 0..500 {
        if round == 50 {
            // With what its first looks have brought into the session.
            let asleep = format!("SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = {pid}");
            until("the call sleeps", async || Ok(sql.holds(&asleep).await?.then_some(()))).await?;
            before = allocated(pid)?;
        }
        sql.run(&wake).await?;
    }
    let more = allocated(pid)? - before;
    taker.run("ROLLBACK").await?;
    waiting.await??;
    assert!(more < MOST, "the call has allocated {more} kB more");
    Ok(())
}
