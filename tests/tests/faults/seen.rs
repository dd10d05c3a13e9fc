//! Who waits is seen by others: the view `waiters`, and `why`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio_postgres::NoTls;
use volguard_tests::scenario::{Observer, Route, Site, Sql, Violation, sqlstate, until};

use crate::waiting::{Waiter, Waiting};

const LONG: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(30);

by_both_routes!(waiters_are_seen_in_their_order, a_waiter_behind_an_open_transaction_is_seen_as_such);

type Row = HashMap<String, String>;

/// The rows of the view, once there are so many.
async fn waiters(sql: &Sql, count: usize) -> anyhow::Result<Vec<Row>> {
    until(&format!("{count} rows of waiters"), async || {
        let rows = sql.named_rows("SELECT * FROM volguard.waiters").await?;
        Ok((rows.len() == count).then_some(rows))
    })
    .await
}

fn field<'r>(row: &'r Row, name: &str) -> &'r str {
    row.get(name).map_or("NULL", String::as_str)
}

fn fields<'r>(row: &'r Row, names: &[&str]) -> Vec<&'r str> {
    names.iter().map(|name| field(row, name)).collect()
}

/// One call more waits for `v0`.
async fn wait(site: &Site, observer: &Observer, host: &str, in_line: i64) -> anyhow::Result<(i64, Waiting)> {
    let waiter = Waiter::new(site, host).await?;
    let service = waiter.service;
    let waiting = waiter.wait(LONG);
    observer.until_in_queue(in_line).await?;
    Ok((service, waiting))
}

async fn why(sql: &Sql) -> anyhow::Result<String> {
    let why = sql.text("SELECT string_agg(w, E'\n') FROM volguard.why('volume', 'v0') AS w").await?;
    why.context("sentences")
}

async fn waiters_are_seen_in_their_order(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = Waiter::new(site, "holder").await?;
    let token = holder.must_acquire().await?;
    let mut line = Vec::new();
    for (number, host) in (1..).zip(["first", "second", "third"]) {
        line.push(wait(site, &observer, host, number).await?);
    }
    // As superuser, and as a role that may not read what others' sessions do.
    let stranger = Sql::connect(&site.url_as("stranger")).await?;
    for sql in [observer.sql(), &stranger] {
        let rows = waiters(sql, 3).await?;
        for (place, (row, host)) in (1..).zip(rows.iter().zip(["first", "second", "third"])) {
            let names = ["resource_type", "resource_id", "lock_name", "place", "host", "waits_for", "role", "clipped"];
            let expected = ["volume", "v0", "", &place.to_string(), host, "lock", "manager", "f"];
            assert_eq!(fields(row, &names), expected, "{row:?}");
            let names = ["holder_host", "holder_alive", "committed", "holder_token", "holder_service_id", "behind_pid"];
            let expected = ["holder", "t", "t", &token.to_string(), &holder.service.to_string(), "NULL"];
            assert_eq!(fields(row, &names), expected, "{row:?}");
            assert_eq!(field(row, "service_id"), line[place - 1].0.to_string());
        }
        let text = why(sql).await?;
        for sentence in ["3 calls wait for this lock:", "  1. test on first, for ", "  3. test on third, for "] {
            assert!(text.contains(sentence), "{sentence} in {text}");
        }
    }
    let since = "SELECT string_agg(since::text, ' ' ORDER BY place) FROM volguard.waiters";
    let before = observer.sql().text(since).await?;
    // The head wakes every second to look. It goes on waiting since the same time.
    until("a wake-up of the head", async || {
        Ok(observer.sql().holds("SELECT max(waited) >= '2 s' FROM volguard.waiters").await?.then_some(()))
    })
    .await?;
    assert_eq!(observer.sql().text(since).await?, before);
    let mut token = token;
    let mut holder = holder;
    for (left, (_, waiting)) in (0..3).rev().zip(line) {
        holder.sql.release(token).await?;
        let (winner, won, _) = waiting.await?;
        (holder, token) = (winner, won?.context("in time")?);
        waiters(observer.sql(), left).await?;
    }
    holder.sql.release(token).await?;
    observer.until_settled(SETTLED).await
}

async fn a_waiter_behind_an_open_transaction_is_seen_as_such(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = Waiter::new(site, "holder").await?;
    holder.sql.run("BEGIN").await?;
    let pid = holder.sql.pid().await?.to_string();
    let token = holder.must_acquire().await?;
    let (_, waiting) = wait(site, &observer, "waiter", 1).await?;
    let stranger = Sql::connect(&site.url_as("stranger")).await?;
    for sql in [observer.sql(), &stranger] {
        let rows = waiters(sql, 1).await?;
        let names = ["place", "host", "committed", "behind_pid", "behind_state", "holder_token", "holder_alive"];
        let expected = ["1", "waiter", "f", &pid, "idle in transaction", "NULL", "NULL"];
        assert_eq!(fields(&rows[0], &names), expected, "{rows:?}");
        let text = why(sql).await?;
        let session = format!("Session {pid} of role manager (idle in transaction for");
        assert!(text.contains("an uncommitted transaction") && text.contains(&session), "{text}");
    }
    holder.sql.run("COMMIT").await?;
    until("a committed holder", async || {
        let rows = waiters(observer.sql(), 1).await?;
        Ok((fields(&rows[0], &["committed", "behind_pid"]) == ["t", "NULL"]).then_some(()))
    })
    .await?;
    holder.sql.release(token).await?;
    let (winner, won, _) = waiting.await?;
    winner.sql.release(won?.context("in time")?).await?;
    observer.until_settled(SETTLED).await
}

/// A call that has got its lock, in a transaction that stays open, waits no more, although it heads its queue still.
async fn a_note_ends_with_its_wait(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let holder = Waiter::new(site, "holder").await?;
    let token = holder.must_acquire().await?;
    let waiter = Waiter::new(site, "waiter").await?;
    waiter.sql.run("BEGIN").await?;
    let waiting = waiter.wait(LONG);
    waiters(observer.sql(), 1).await?;
    holder.sql.release(token).await?;
    let (winner, won, _) = waiting.await?;
    won?.context("in time")?;
    nothing_is_seen(&observer, "an acquire that got its lock").await?;
    winner.sql.run("ROLLBACK").await?;
    observer.until_settled(SETTLED).await
}

async fn nothing_is_seen(observer: &Observer, of: &str) -> anyhow::Result<()> {
    let rows = observer.sql().named_rows("SELECT * FROM volguard.waiters").await?;
    if rows.is_empty() {
        return Ok(());
    }
    Err(Violation::LeftBehind(format!("a note of {of}: {rows:?}")).into())
}

/// After an error, of which the client learns before the transaction is aborted, and with it the locks of a call that
/// can show no note.
async fn soon_nothing_is_seen(observer: &Observer, of: &str) -> anyhow::Result<()> {
    until(&format!("the end of {of}"), async || Ok(nothing_is_seen(observer, of).await.ok())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_over_is_not_seen() -> anyhow::Result<()> {
    a_note_ends_with_its_wait(&Site::new(Route::Direct)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_stays_is_noticed() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_note_ends_with_its_wait(&Site::without("NoteEnds")?).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// By its time, by timeouts, by a cancel, within a savepoint that is rolled back; with notes and with markers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_a_wait_ends_it_is_not_seen() -> anyhow::Result<()> {
    for notes in [true, false] {
        let site = Site::new(Route::Direct)?;
        if !notes {
            site.psql(r#"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_activities = off', current_database()); END $$"#)?;
        }
        let observer = site.observer().await?;
        let holder = Waiter::new(&site, "holder").await?;
        holder.must_acquire().await?;
        let waiter = Waiter::new(&site, "waiter").await?;
        let call =
            |wait: &str| format!("SELECT volguard.acquire({}, 'volume', 'v0', wait => '{wait}')", waiter.service);
        assert_eq!(waiter.sql.text(&call("100 ms")).await?, None);
        nothing_is_seen(&observer, "a wait in vain").await?;
        waiter.sql.run("BEGIN; SAVEPOINT s").await?;
        for (setting, state) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
            waiter.sql.run(&format!("SET LOCAL {setting} = '1 s'")).await?;
            let ended = waiter.sql.run(&call("60 s")).await.expect_err("it is cut");
            assert_eq!(sqlstate(&ended), state);
            soon_nothing_is_seen(&observer, "a wait that was cut").await?;
            waiter.sql.run("ROLLBACK TO SAVEPOINT s").await?;
            nothing_is_seen(&observer, "a wait that was rolled back").await?;
        }
        let cancel = waiter.sql.cancel_token();
        let long = call("60 s");
        let (ended, cancelled) = tokio::join!(waiter.sql.run(&long), async {
            let rows = waiters(observer.sql(), 1).await?;
            assert_eq!(fields(&rows[0], &["resource_id", "host", "holder_host"]), ["v0", "waiter", "holder"]);
            cancel.cancel_query(NoTls).await.context("the cancel request")
        });
        cancelled?;
        assert_eq!(ended.map_err(|error| sqlstate(&error)), Err("57014".to_owned()));
        waiter.sql.run("ROLLBACK").await?;
        soon_nothing_is_seen(&observer, "a cancelled wait").await?;
        let left = format!("SELECT count(*) FROM pg_locks WHERE pid = {}", waiter.sql.pid().await?);
        assert_eq!(observer.sql().number(&left).await?, Some(0));
    }
    Ok(())
}

/// Names that are longer than a note, of several bytes a character: whole if a committed row has them, else visibly
/// cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_are_seen() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let (holder, waiter) = (Waiter::new(&site, "holder").await?, Waiter::new(&site, "waiter").await?);
    const KEY: &str = "repeat('t', 254) || 'x', repeat('é', 511) || 'yz', repeat('ñ', 127)";
    let call = |service: i64| format!("SELECT volguard.acquire({service}, {KEY}, wait => '60 s')");
    holder.sql.run("BEGIN").await?;
    let token = holder.sql.number(&call(holder.service)).await?.context("free")?;
    let running = tokio::spawn(async move {
        let got = waiter.sql.number(&call(waiter.service)).await;
        (waiter, got)
    });
    let rows = waiters(observer.sql(), 1).await?;
    let cut = [("resource_type", 't', 32), ("resource_id", 'é', 70), ("lock_name", 'ñ', 32)];
    for (name, letter, most) in cut {
        let text = field(&rows[0], name);
        assert!(text.len() <= most && text.starts_with(letter) && text.ends_with('…'), "{name}: {text}");
    }
    assert_eq!(fields(&rows[0], &["clipped", "committed"]), ["t", "f"]);
    holder.sql.run("COMMIT").await?;
    until("a row with the names", async || {
        let whole = format!(
            "SELECT (resource_type, resource_id, lock_name) = ({KEY}) AND NOT clipped AND holder_token = {token} FROM volguard.waiters"
        );
        Ok(observer.sql().holds(&whole).await?.then_some(()))
    })
    .await?;
    holder.sql.release(token).await?;
    let (waiter, got) = running.await?;
    waiter.sql.release(got?.context("in time")?).await?;
    observer.until_settled(SETTLED).await
}

/// A command of Postgres that shows its progress goes on to show it while a function in it waits.
async fn within_a_command(command: &str, progress: &str) -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let holder = Waiter::new(&site, "holder").await?;
    let token = holder.must_acquire().await?;
    let service = Waiter::new(&site, "waiter").await?.service;
    site.psql(&format!(
        "CREATE TABLE numbers (n bigint); INSERT INTO numbers VALUES (1);
         CREATE FUNCTION waits(n bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
             RETURN volguard.acquire({service}, 'volume', 'v0', wait => '60 s');
         END $$"
    ))?;
    let superuser = site.observer().await?;
    let pid = superuser.sql().pid().await?;
    let command = command.to_owned();
    let running = tokio::spawn(async move { superuser.sql().run(&command).await });
    let rows = waiters(observer.sql(), 1).await?;
    assert_eq!(fields(&rows[0], &["resource_id", "host", "place", "committed"]), ["v0", "waiter", "1", "t"]);
    let progress = format!("SELECT EXISTS (SELECT FROM {progress} AND pid = {pid})");
    assert!(observer.sql().holds(&progress).await?, "its progress is shown still");
    holder.sql.release(token).await?;
    running.await??;
    nothing_is_seen(&observer, "a command").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_within_a_copy_is_seen() -> anyhow::Result<()> {
    let copy = "COPY (SELECT 1 UNION ALL SELECT waits(n) FROM numbers) TO PROGRAM 'cat > /dev/null'";
    within_a_command(copy, "pg_stat_progress_copy WHERE tuples_processed = 1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_within_the_build_of_an_index_is_seen() -> anyhow::Result<()> {
    let index = "CREATE INDEX ON numbers (waits(n))";
    within_a_command(index, "pg_stat_progress_create_index WHERE phase LIKE 'building index%'").await
}

/// A trigger of the table runs such a command while a call of volguard is under way, which goes on to wait. The note is
/// gone from the command on until the call looks at the row again; the sleep keeps it in sight before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_such_a_command_is_seen() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    site.psql(
        "CREATE TABLE other (n bigint);
         CREATE FUNCTION builds() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep(0.5);
             CREATE INDEX ON public.other (n);
             RETURN NEW;
         END $$;
         CREATE TRIGGER builds BEFORE UPDATE ON app.volumes FOR EACH STATEMENT EXECUTE FUNCTION builds()",
    )?;
    a_call_that_waits_for_the_row(&site).await
}

/// A call that wants the work slot, and one that waits for the fence of its own service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_things_to_wait_for_are_seen() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let (holder, waiter) = (Waiter::new(&site, "holder").await?, Waiter::new(&site, "waiter").await?);
    let work = |service: i64, name: &str| {
        format!("SELECT volguard.acquire({service}, 'volume', 'v0', '{name}', status => 'busy', wait => '60 s')")
    };
    let token = holder.sql.number(&work(holder.service, "one")).await?.context("free")?;
    let call = work(waiter.service, "other");
    let running = tokio::spawn(async move {
        let got = waiter.sql.number(&call).await;
        (waiter, got)
    });
    let rows = waiters(observer.sql(), 1).await?;
    let names = ["waits_for", "place", "host", "holder_host", "holder_status", "lock_name"];
    assert_eq!(fields(&rows[0], &names), ["work slot", "1", "waiter", "holder", "busy", "one"]);
    let text = why(observer.sql()).await?;
    assert!(text.contains("1 call waits for the work slot of this resource:"), "{text}");
    holder.sql.release(token).await?;
    let (waiter, got) = running.await?;
    waiter.sql.release(got?.context("in time")?).await?;

    // A fence that is not committed.
    let fence = site.sql().await?;
    fence.run(&format!("BEGIN; SELECT volguard.deregister_service({})", waiter.service)).await?;
    let (service, running) = (waiter.service, waiter.wait(LONG));
    let rows = waiters(observer.sql(), 1).await?;
    let names = ["waits_for", "service_id", "resource_id", "committed", "behind_pid"];
    let pid = fence.pid().await?.to_string();
    assert_eq!(fields(&rows[0], &names), ["service lock", &service.to_string(), "v0", "f", &pid]);
    fence.run("COMMIT").await?;
    let (_, ended, _) = running.await?;
    ensure!(ended.is_err_and(|error| sqlstate(&error) == "VG001"));
    observer.until_settled(SETTLED).await
}

/// A call that has its turn, and waits for the row of the resource.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_the_row_is_seen() -> anyhow::Result<()> {
    a_call_that_waits_for_the_row(&Site::new(Route::Direct)?).await
}

async fn a_call_that_waits_for_the_row(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let waiter = Waiter::new(site, "waiter").await?;
    waiter.sql.run("INSERT INTO app.volumes VALUES ('v0', 'available')").await?;
    waiter.sql.run("SELECT volguard.track_resource('volume', 'app.volumes')").await?;
    let writer = site.sql().await?;
    writer.run("BEGIN; UPDATE app.volumes SET size = 2").await?;
    let call = format!(
        r#"SELECT (volguard.start_work({}, 'volume', 'v0', '{{"status": "busy"}}', wait => '60 s')).token"#,
        waiter.service
    );
    let running = tokio::spawn(async move {
        let got = waiter.sql.number(&call).await;
        (waiter, got)
    });
    // Between two looks at the row it leaves its queue for a moment.
    until("a call that waits for a row", async || {
        let rows = observer.sql().named_rows("SELECT * FROM volguard.waiters").await?;
        let names = ["waits_for", "place", "host", "holder_host", "resource_id"];
        let seen = rows.first().is_some_and(|row| fields(row, &names) == ["row", "1", "waiter", "NULL", "v0"]);
        let said = why(observer.sql()).await?.contains("has its turn, waits for the row of the resource");
        Ok((seen && said).then_some(()))
    })
    .await?;
    writer.run("COMMIT").await?;
    let (waiter, got) = running.await?;
    waiter.sql.release(got?.context("in time")?).await?;
    nothing_is_seen(&observer, "a start of work").await
}

/// Of another database nothing is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_database_sees_its_own_waiters() -> anyhow::Result<()> {
    let (site, other) = (Site::new(Route::Direct)?, Site::new(Route::Direct)?);
    let (observer, stranger) = (site.observer().await?, other.observer().await?);
    let holder = Waiter::new(&site, "holder").await?;
    let token = holder.must_acquire().await?;
    let (_, waiting) = wait(&site, &observer, "waiter", 1).await?;
    waiters(observer.sql(), 1).await?;
    nothing_is_seen(&stranger, "another database").await?;
    holder.sql.release(token).await?;
    let (winner, won, _) = waiting.await?;
    winner.sql.release(won?.context("in time")?).await?;
    observer.until_settled(SETTLED).await
}
