//! DDL while calls wait for a lock. A sleeping call keeps no lock on a relation: DDL would queue behind the call, and
//! behind the DDL the release that the call sleeps for, heartbeats and everything else.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Error;
use volguard_tests::scenario::{Observer, Route, Site, Sql, Violation, sqlstate, until};

const LEASE: Duration = Duration::from_secs(300);
/// How long calls wait for a lock: longer than any limit here.
const LONG: Duration = Duration::from_secs(240);
/// Everything here takes milliseconds; a machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// Without its guard nothing goes on before the waits end.
const STUCK: Duration = Duration::from_secs(5);

/// What an administrator may do at any time. Each takes the strongest lock on a relation of ours.
const COMMANDS: [&str; 9] = [
    "VACUUM FULL volguard.workers",
    "VACUUM FULL volguard.services",
    "VACUUM FULL volguard.resources",
    "CLUSTER volguard.workers USING workers_pkey",
    "REINDEX TABLE volguard.workers",
    "REINDEX TABLE volguard.services",
    "ALTER TABLE volguard.workers ADD COLUMN note text",
    // As the script of an update does.
    "BEGIN; LOCK volguard.workers, volguard.services, volguard.resources, volguard.crash_rules;
     ALTER EXTENSION volguard DROP VIEW volguard.event_log;
     ALTER EXTENSION volguard ADD VIEW volguard.event_log; COMMIT",
    // The user's own table, which start_work waits for too.
    "BEGIN; LOCK app.volumes; ALTER TABLE app.volumes ADD COLUMN note text; COMMIT",
];

/// A call that waits, and its process.
struct Waiting {
    pid: i64,
    call: JoinHandle<Result<Option<String>, Error>>,
}

impl Waiting {
    async fn begin(site: &Site, host: &str, call: impl Fn(i64) -> String) -> anyhow::Result<Self> {
        let sql = site.sql().await?;
        let (service, pid) = (sql.register(host, LEASE).await?, sql.pid().await?);
        let call = call(service);
        Ok(Self { pid, call: tokio::spawn(async move { sql.text(&call).await }) })
    }
}

/// The verbs that wait, each at the head of a queue and behind another call.
async fn all_that_wait(site: &Site, observer: &Observer) -> anyhow::Result<Vec<Waiting>> {
    let wait = format!("wait => '{} s'", LONG.as_secs());
    let acquire = |key: &str| {
        let (key, wait) = (key.to_owned(), wait.clone());
        move |service| format!("SELECT volguard.release(volguard.acquire({service}, 'volume', '{key}', {wait}))")
    };
    let acquire_all = |service| {
        let lock = |id: &str| format!(r#"{{"resource_type": "volume", "resource_id": "{id}"}}"#);
        let locks = format!("[{}, {}]", lock("v1"), lock("other"));
        format!("SELECT volguard.release_all(array_agg(token)) FROM volguard.acquire_all({service}, '{locks}', {wait})")
    };
    let start_work = |service| {
        let changes = r#"{"status": "extending"}"#;
        format!("SELECT volguard.release((volguard.start_work({service}, 'volume', 'v2', '{changes}', {wait})).token)")
    };
    let mut waiting = Vec::new();
    for place in ["head", "line"] {
        waiting.push(Waiting::begin(site, &format!("acquire-{place}"), acquire("v0")).await?);
        observer.until_in_queue(waiting.len() as i64).await?;
        waiting.push(Waiting::begin(site, &format!("acquire-all-{place}"), acquire_all).await?);
        observer.until_in_queue(waiting.len() as i64).await?;
        waiting.push(Waiting::begin(site, &format!("start-work-{place}"), start_work).await?);
        observer.until_in_queue(waiting.len() as i64).await?;
    }
    observer.until_asleep(3).await?;
    Ok(waiting)
}

/// The relations that waiting calls have locked.
async fn locked_by(observer: &Observer, waiting: &[Waiting]) -> anyhow::Result<Option<String>> {
    let pids: Vec<String> = waiting.iter().map(|it| it.pid.to_string()).collect();
    let look = format!(
        "SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks
         WHERE relation IS NOT NULL AND pid IN ({})",
        pids.join(",")
    );
    Ok(observer.sql().text(&look).await?)
}

/// A head looks at its row once a second, and has locks for that moment.
async fn no_relation_is_locked(observer: &Observer, waiting: &[Waiting]) -> anyhow::Result<()> {
    let mut locked = None;
    let unlocked = until("sleeping calls without a lock", async || {
        locked = locked_by(observer, waiting).await?;
        Ok(locked.is_none().then_some(()))
    });
    let unlocked = unlocked.await;
    unlocked.map_err(|_| Violation::LeftBehind(format!("locks of sleeping calls on {locked:?}")).into())
}

/// A site where a service holds the locks that others wait for.
async fn held(site: &Site) -> anyhow::Result<(Sql, i64, Vec<i64>)> {
    site.psql("INSERT INTO app.volumes (id, status) VALUES ('v2', 'available'), ('v3', 'available')")?;
    let holder = site.sql().await?;
    holder.run("SELECT volguard.track_resource('volume', 'app.volumes')").await?;
    let service = holder.register("holder", LEASE).await?;
    let mut tokens = Vec::new();
    for key in ["v0", "v1", "v2"] {
        tokens.push(holder.acquire(service, key, Duration::ZERO).await?.context("free")?);
    }
    Ok((holder, service, tokens))
}

/// Each command ends while calls wait. So do other calls, and in the end the waiting ones get what they wait for.
async fn goes_on(site: &Site, commands: &[&str], limit: Duration) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let (holder, service, tokens) = held(site).await?;
    let waiting = all_that_wait(site, &observer).await?;
    for command in commands {
        let ddl = site.observer().await?;
        let command = (*command).to_owned();
        let what = command.clone();
        let ddl = tokio::spawn(async move {
            // `VACUUM` must be alone, the others may be several.
            ddl.sql().run(&command).await
        });
        let others = async {
            holder.number(&format!("SELECT 1 FROM volguard.heartbeat({service})")).await?;
            let token = holder.acquire(service, "free", Duration::ZERO).await?;
            let update = "SELECT volguard.conditional_update('app.volumes', '{\"id\": \"v3\"}', '{\"size\": 2}'";
            holder.run(&format!("{update}, fence => {})", tokens[0])).await?;
            holder.release(token.expect("free")).await?;
            Ok::<_, Error>(())
        };
        let both = async {
            ddl.await?.with_context(|| what.clone())?;
            others.await.with_context(|| what.clone())
        };
        match timeout(limit, both).await {
            Ok(ended) => ended?,
            Err(_) => return Err(Violation::Waiting("DDL waits for calls that sleep, and others wait for it").into()),
        }
        assert!(waiting.iter().all(|it| !it.call.is_finished()), "{what}: a call did not wait on");
        no_relation_is_locked(&observer, &waiting).await?;
    }
    for token in tokens {
        assert!(holder.release(token).await?);
    }
    for it in waiting {
        let released = timeout(limit, it.call).await.context("a call got no lock")???;
        assert!(matches!(released.as_deref(), Some("t" | "2")), "{released:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goes_on_while_calls_wait() -> anyhow::Result<()> {
    goes_on(&Site::new(Route::Direct)?, &COMMANDS, LIMIT).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_giving_locks_back_it_stops_the_service() -> anyhow::Result<()> {
    let violation = Violation::expected_in(goes_on(&Site::without("LookupLocks")?, &COMMANDS[..1], STUCK).await);
    assert!(matches!(violation, Violation::Waiting(_)), "{violation}");
    Ok(())
}

/// An acquire that cleans up a dead holder meets a row that a user's transaction has locked. Again and again it undoes
/// the cleanup, and with it its locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goes_on_while_a_cleanup_on_the_way_waits() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let (holder, _, tokens) = held(&site).await?;
    holder.run(r#"SELECT volguard.on_crash('volume', 'creating', '{"status": "error"}')"#).await?;
    holder.run("UPDATE app.volumes SET status = 'creating' WHERE id = 'v3'").await?;
    let dead = holder.register("dead", LEASE).await?;
    holder.run(&format!("SELECT volguard.acquire({dead}, 'volume', 'v3', status => 'creating')")).await?;
    observer.end_lease(dead).await?;
    let user = site.sql().await?;
    user.run("BEGIN; UPDATE app.volumes SET size = 5 WHERE id = 'v3'").await?;
    let wait = LONG.as_secs();
    let acquire = |service| format!("SELECT volguard.acquire({service}, 'volume', 'v3', wait => '{wait} s') > 0");
    let waiting = Waiting::begin(&site, "heir", acquire).await?;
    observer.until_in_queue(1).await?;
    // The cleanup that is undone has drawn numbers.
    for command in
        ["VACUUM FULL volguard.workers", "VACUUM FULL volguard.services", "ALTER SEQUENCE volguard.clock NO CYCLE"]
    {
        timeout(LIMIT, observer.sql().run(command)).await.context(command)??;
    }
    assert!(timeout(LIMIT, holder.release(tokens[0])).await.context("a release waits")??);
    user.run("COMMIT").await?;
    assert_eq!(timeout(LIMIT, waiting.call).await???.as_deref(), Some("t"));
    Ok(())
}

/// A release has found its row and waits for the gate of its service, as the table is rewritten: the row is elsewhere.
async fn a_row_moves(site: &Site) -> anyhow::Result<()> {
    let observer = site.observer().await?;
    let (holder, service, tokens) = held(site).await?;
    let token = holder.acquire(service, "last", Duration::ZERO).await?.context("free")?;
    for earlier in tokens {
        assert!(holder.release(earlier).await?);
    }
    let next = site.sql().await?;
    next.run("BEGIN; SELECT volguard.register_service('holder', 'test')").await?;
    let released = tokio::spawn(async move { holder.release(token).await });
    observer.until_queued(1).await?;
    timeout(LIMIT, observer.sql().run("VACUUM FULL volguard.workers")).await.context("VACUUM waits")??;
    next.run("ROLLBACK").await?;
    match timeout(LIMIT, released).await??? {
        true => Ok(()),
        false => Err(Violation::Forgotten("a lock that is held was not found".to_owned()).into()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_moves_is_found() -> anyhow::Result<()> {
    a_row_moves(&Site::new(Route::Direct)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_look_at_the_catalog_a_row_that_moves_is_lost() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_row_moves(&Site::without("Catalog")?).await);
    assert!(matches!(violation, Violation::Forgotten(_)), "{violation}");
    Ok(())
}

/// DROP EXTENSION waits for no call, and each call that waits ends with a clear error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_extension_ends_the_waits() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    held(&site).await?;
    let waiting = all_that_wait(&site, &observer).await?;
    timeout(LIMIT, observer.sql().run("DROP EXTENSION volguard")).await.context("DROP EXTENSION waits")??;
    for it in waiting {
        let ended = timeout(LIMIT, it.call).await.context("a call waits on")??;
        let error = ended.expect_err("there is no lock to get");
        assert_eq!(sqlstate(&error), "42704", "{error:?}");
        let report = error.as_db_error().context("an error of the server")?;
        assert_eq!(report.message(), "volguard's tables are missing");
    }
    Ok(())
}

/// The extension that was made anew knows neither the services nor the locks of the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_does_not_go_on_in_a_new_extension() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    held(&site).await?;
    let waiting = all_that_wait(&site, &observer).await?;
    let anew = "BEGIN; DROP EXTENSION volguard; CREATE EXTENSION volguard; COMMIT";
    timeout(LIMIT, observer.sql().run(anew)).await.context("DROP EXTENSION waits")??;
    for it in waiting {
        let ended = timeout(LIMIT, it.call).await.context("a call waits on")??;
        let error = ended.expect_err("there is no lock to get");
        assert_eq!(sqlstate(&error), "VG001", "{error:?}");
    }
    Ok(())
}

/// A call that waits for the gate of a service keeps nothing either: here a new incarnation, behind a transaction that
/// has checked a token and stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goes_on_while_a_registration_waits() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let observer = site.observer().await?;
    let (holder, _, tokens) = held(&site).await?;
    holder.run(&format!("BEGIN; SELECT volguard.assert_held({})", tokens[0])).await?;
    let (sql, other) = (site.sql().await?, site.sql().await?);
    let pid = sql.pid().await?;
    let call = tokio::spawn(async move {
        let register = "SELECT volguard.register_service('holder', 'test') > 0";
        loop {
            match sql.text(register).await {
                // It waits for some seconds only, which may be over too soon on a busy machine.
                Err(error) if sqlstate(&error) == "55P03" => {}
                answer => return answer,
            }
        }
    });
    observer.until_queued(1).await?;
    let waiting = [Waiting { pid, call }];
    no_relation_is_locked(&observer, &waiting).await?;
    timeout(LIMIT, async {
        other.register("other", LEASE).await?;
        observer.sql().run("VACUUM FULL volguard.clusters").await
    })
    .await
    .context("DDL waits")??;
    holder.run("COMMIT").await?;
    let [waiting] = waiting;
    assert_eq!(timeout(LIMIT, waiting.call).await???.as_deref(), Some("t"));
    Ok(())
}
