//! Submitted work: with the status of its resource or not at all, to one service, and never lost.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use volguard_tests::scenario::{Site, Sql, Violation, sqlstate, until};

by_both_routes!(
    work_and_status_are_one,
    a_repeated_submit_waits_for_the_first,
    a_piece_goes_to_one_taker,
    an_index_of_other_rows_hands_nothing_out,
    all_pieces_are_handed_out_once,
    work_for_a_host_goes_there,
    strangers_neither_submit_nor_cancel,
    a_cluster_stays_while_work_is_submitted,
    work_is_tried_again_before_its_rule_applies,
    waiters_for_the_lock_keep_their_places,
);

/// Volumes, their type, and a service of the cluster `pool`.
pub async fn furnish(sql: &Sql) -> anyhow::Result<i64> {
    sql.run(
        "INSERT INTO app.volumes (id, status) SELECT 'v' || i, 'available' FROM generate_series(1, 200) AS i;
         SELECT volguard.track_resource('volume', 'app.volumes')",
    )
    .await?;
    manager(sql, "a").await
}

/// A service of the cluster `pool` on this host.
pub async fn manager(sql: &Sql, host: &str) -> anyhow::Result<i64> {
    let register = format!("SELECT volguard.register_service('{host}', 'manager', 'pool', lease => '1 h')");
    sql.number(&register).await?.context("an id")
}

pub fn submit(volume: u32, more: &str) -> String {
    format!(
        "SELECT token FROM volguard.submit_work('pool', 'volume', 'v{volume}', '{{\"status\": \"deleting\"}}'{more})"
    )
}

pub fn next(service: i64, more: &str) -> String {
    format!("SELECT work_id FROM volguard.next_work({service}{more})")
}

/// Where the lock is taken, the status stays.
async fn work_and_status_are_one(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let service = furnish(&sql).await?;
    sql.run(&format!("SELECT volguard.acquire({service}, 'volume', 'v1')")).await?;
    assert_eq!(sql.number(&submit(1, "")).await?, None);
    let apart = "SELECT v.id FROM app.volumes AS v WHERE v.status = 'deleting'
                 AND NOT EXISTS (SELECT FROM volguard.lock_status AS l WHERE l.resource_id = v.id AND l.status = v.status)";
    match sql.text(apart).await? {
        Some(volume) => Err(Violation::Apart(format!("{volume} has the status without the work")).into()),
        None => Ok(()),
    }
}

#[tokio::test]
async fn a_status_without_its_work_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(work_and_status_are_one(&Site::without("SubmitTogether")?).await);
    assert!(matches!(violation, Violation::Apart(_)), "{violation}");
    Ok(())
}

/// Only then is it known what the first call did.
async fn a_repeated_submit_waits_for_the_first(site: &Site) -> anyhow::Result<()> {
    let (sql, again, observer) = (site.sql().await?, site.sql().await?, site.observer().await?);
    furnish(&sql).await?;
    let request = ", request_id => '00000000-0000-0000-0000-000000000001'";
    sql.run("BEGIN").await?;
    let first = sql.number(&submit(1, request)).await?.context("submitted")?;
    let repeated = tokio::spawn(async move { again.number(&submit(1, request)).await });
    // Without the guard the call does not wait.
    while observer.in_line().await? == 0 && !repeated.is_finished() {
        tokio::task::yield_now().await;
    }
    sql.run("COMMIT").await?;
    match repeated.await?? {
        Some(token) if token == first => Ok(()),
        other => Err(Violation::NotOnce(format!("the request got {first}, and then {other:?}")).into()),
    }
}

#[tokio::test]
async fn a_repeated_submit_that_does_not_wait_is_seen() -> anyhow::Result<()> {
    let site = Site::without("SubmitRequest")?;
    let violation = Violation::expected_in(a_repeated_submit_waits_for_the_first(&site).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}

/// One that is being taken is passed over.
async fn a_piece_goes_to_one_taker(site: &Site) -> anyhow::Result<()> {
    let (sql, rival, observer) = (site.sql().await?, site.sql().await?, site.observer().await?);
    let (one, two) = (furnish(&sql).await?, manager(&rival, "b").await?);
    let work = sql.number(&submit(1, "")).await?.context("submitted")?;
    sql.run("BEGIN").await?;
    assert_eq!(sql.number(&next(one, "")).await?, Some(work));
    let taken = tokio::spawn(async move { rival.number(&next(two, "")).await });
    while observer.in_line().await? == 0 && !taken.is_finished() {
        tokio::task::yield_now().await;
    }
    sql.run("COMMIT").await?;
    match taken.await?? {
        None => Ok(()),
        Some(work) => Err(Violation::NotOnce(format!("work {work} was handed out twice")).into()),
    }
}

#[tokio::test]
async fn a_piece_that_goes_to_two_takers_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(a_piece_goes_to_one_taker(&Site::without("TakeLocked")?).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}

/// The index of the queue was made again, with work that services have.
async fn an_index_of_other_rows_hands_nothing_out(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let (one, two) = (furnish(&sql).await?, manager(&sql, "b").await?);
    let held = sql.number(&submit(1, "")).await?.context("submitted")?;
    assert_eq!(sql.number(&next(one, "")).await?, Some(held));
    sql.run(&submit(2, "")).await?;
    site.psql(
        "UPDATE volguard.workers SET not_before = '2020-01-01' WHERE service_id IS NULL;
         DROP INDEX volguard.workers_queue_idx;
         CREATE INDEX workers_queue_idx ON volguard.workers
             (cluster, host, operation, resource_type, (- priority), not_before, work_id) WHERE work_id IS NOT NULL",
    )?;
    match sql.rows(&next(two, ", 9")).await {
        Err(refused) => {
            assert_eq!(sqlstate(&refused), "0A000", "{refused:?}");
            Ok(())
        }
        Ok(rows) => Err(Violation::NotOnce(format!("work {held} is held, and handed out were {rows:?}")).into()),
    }
}

#[tokio::test]
async fn an_index_of_other_rows_hands_held_work_out() -> anyhow::Result<()> {
    let site = Site::without("QueueIndex")?;
    let violation = Violation::expected_in(an_index_of_other_rows_hands_nothing_out(&site).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}

/// Several services take, give back, and finish; a look that finds nothing ends one.
async fn all_pieces_are_handed_out_once(site: &Site) -> anyhow::Result<()> {
    const TAKERS: usize = 4;
    let sql = site.sql().await?;
    furnish(&sql).await?;
    for volume in 1..=120 {
        let more = format!(", operation => 'op-{}', priority => {}", volume % 3, volume % 2);
        sql.number(&submit(volume, &more)).await?.context("submitted")?;
    }
    let mut takers = JoinSet::new();
    for number in 0..TAKERS {
        let sql = site.sql().await?;
        let service = manager(&sql, &format!("taker-{number}")).await?;
        takers.spawn(take_and_finish(sql, service));
    }
    let mut done = 0;
    while let Some(finished) = takers.join_next().await {
        done += finished??;
    }
    let wrong = "SELECT count(*) FROM app.volumes WHERE (status, size) <> ('deleted', 2) AND substr(id, 2)::int <= 120";
    let (wrong, left) = (sql.number(wrong).await?, sql.number("SELECT count(*) FROM volguard.lock_status").await?);
    match (done, wrong, left) {
        (120, Some(0), Some(0)) => Ok(()),
        other => Err(Violation::NotOnce(format!("done, wrong, left: {other:?}")).into()),
    }
}

/// Returns how many pieces it has finished.
async fn take_and_finish(sql: Sql, service: i64) -> anyhow::Result<u32> {
    let mut done = 0;
    loop {
        let rows = sql.rows(&format!("SELECT token FROM volguard.next_work({service}, 2, wait => '1 s')")).await?;
        if rows.is_empty() {
            return Ok(done);
        }
        for token in rows.into_iter().flatten().flatten() {
            if fastrand::u8(..10) == 0 {
                sql.run(&format!("SELECT volguard.release({token})")).await?;
                continue;
            }
            let changes = r#"{"status": "deleted", "size": {"add": [{"column": "size"}, 1]}}"#;
            let outcome = sql.text(&format!("SELECT outcome FROM volguard.finish_work({token}, '{changes}')")).await?;
            assert_eq!(outcome.as_deref(), Some("updated"));
            done += 1;
        }
    }
}

async fn work_for_a_host_goes_there(site: &Site) -> anyhow::Result<()> {
    let sql = site.sql().await?;
    let (one, two) = (furnish(&sql).await?, manager(&sql, "b").await?);
    let work = sql.number(&submit(1, ", host => 'b'")).await?.context("submitted")?;
    if let Some(work) = sql.number(&next(one, "")).await? {
        let (act, expected) = (format!("taking work {work} for host b on host a"), "nothing".to_owned());
        return Err(Violation::Trespass { act, expected, got: "the work".to_owned() }.into());
    }
    assert_eq!(sql.number(&next(two, "")).await?, Some(work));
    Ok(())
}

#[tokio::test]
async fn work_that_goes_to_another_host_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(work_for_a_host_goes_there(&Site::without("OnlyHost")?).await);
    assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    Ok(())
}

async fn refused(sql: &Sql, act: &str) -> anyhow::Result<()> {
    let got = match sql.rows(act).await {
        Ok(rows) => format!("{rows:?}"),
        Err(error) => error.code().map(|code| code.code().to_owned()).unwrap_or_default(),
    };
    match got.as_str() {
        "42501" => Ok(()),
        _ => Err(Violation::Trespass { act: act.to_owned(), expected: "42501".to_owned(), got }.into()),
    }
}

async fn strangers_neither_submit_nor_cancel(site: &Site) -> anyhow::Result<()> {
    let (sql, stranger) = (site.sql().await?, Sql::connect(&site.url_as("stranger")).await?);
    furnish(&sql).await?;
    sql.run("GRANT USAGE ON SCHEMA app TO stranger; GRANT SELECT, UPDATE ON app.volumes TO stranger").await?;
    let work = sql.number(&submit(1, "")).await?.context("submitted")?;
    refused(&stranger, &format!("SELECT outcome FROM volguard.cancel_work({work}, '{{\"status\": \"available\"}}')"))
        .await?;
    refused(&stranger, &submit(2, "")).await?;
    refused(&stranger, "SELECT volguard.grant_submit('pool', 'stranger')").await
}

#[tokio::test]
async fn a_stranger_who_submits_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(strangers_neither_submit_nor_cancel(&Site::without("MaySubmit")?).await);
    assert!(matches!(&violation, Violation::Trespass { act, .. } if act.contains("submit_work")), "{violation}");
    Ok(())
}

#[tokio::test]
async fn a_stranger_who_cancels_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(strangers_neither_submit_nor_cancel(&Site::without("MayCancel")?).await);
    assert!(matches!(&violation, Violation::Trespass { act, .. } if act.contains("cancel_work")), "{violation}");
    Ok(())
}

/// Its removal waits for the submit, and finds the work.
async fn a_cluster_stays_while_work_is_submitted(site: &Site) -> anyhow::Result<()> {
    let (sql, operator, observer) = (site.sql().await?, site.sql().await?, site.observer().await?);
    let service = furnish(&sql).await?;
    sql.run(&format!("SELECT volguard.fence_service({service}, 'a test')")).await?;
    sql.run("BEGIN").await?;
    sql.number(&submit(1, "")).await?.context("submitted")?;
    let removal = tokio::spawn(async move { operator.run("SELECT volguard.remove_cluster('pool')").await });
    while observer.in_line().await? == 0 && !removal.is_finished() {
        tokio::task::yield_now().await;
    }
    sql.run("COMMIT").await?;
    let removed = removal.await?;
    let homeless = "SELECT count(*) FROM volguard.lock_status AS l
                    WHERE NOT EXISTS (SELECT FROM volguard.cluster_status AS c WHERE c.cluster = l.cluster)";
    match sql.number(homeless).await? {
        Some(0) if removed.is_err() => Ok(()),
        homeless => Err(Violation::LeftBehind(format!("{homeless:?} pieces of work in no cluster")).into()),
    }
}

#[tokio::test]
async fn a_cluster_that_goes_under_a_submit_is_seen() -> anyhow::Result<()> {
    let site = Site::without("ClusterQueue")?;
    let violation = Violation::expected_in(a_cluster_stays_while_work_is_submitted(&site).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

async fn work_is_tried_again_before_its_rule_applies(site: &Site) -> anyhow::Result<()> {
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    let service = furnish(&sql).await?;
    sql.run(r#"SELECT volguard.on_crash('volume', 'deleting', '{"status": "error"}', retry => 1)"#).await?;
    let work = sql.number(&submit(1, "")).await?.context("submitted")?;
    assert_eq!(sql.number(&next(service, "")).await?, Some(work));
    observer.end_lease(service).await?;
    until("the end of the repair", async || {
        sql.run("SELECT * FROM volguard.cleanup()").await?;
        let held = format!("SELECT count(*) FROM volguard.lock_status WHERE service_id = {service}");
        Ok((sql.number(&held).await? == Some(0)).then_some(()))
    })
    .await?;
    let heir = manager(&sql, "heir").await?;
    let status = sql.text("SELECT status FROM app.volumes WHERE id = 'v1'").await?;
    let again = sql.number(&next(heir, ", wait => '30 s'")).await?;
    match (status.as_deref(), again) {
        (Some("deleting"), again) if again == Some(work) => Ok(()),
        other => Err(Violation::NotOnce(format!("status, and work that is tried again: {other:?}")).into()),
    }
}

#[tokio::test]
async fn work_that_is_not_tried_again_is_seen() -> anyhow::Result<()> {
    let site = Site::without("RetryFirst")?;
    let violation = Violation::expected_in(work_is_tried_again_before_its_rule_applies(&site).await);
    assert!(matches!(violation, Violation::NotOnce(_)), "{violation}");
    Ok(())
}

/// The first number is the end of the second step; the others wait for the lock in this order.
async fn waiters_for_the_lock_keep_their_places(site: &Site) -> anyhow::Result<()> {
    const WAITERS: usize = 4;
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    let (one, two) = (furnish(&sql).await?, manager(&sql, "b").await?);
    sql.number(&submit(1, "")).await?.context("submitted")?;
    let token = sql.number(&format!("SELECT token FROM volguard.next_work({one})")).await?.context("work")?;
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    for number in 1..=WAITERS {
        // The last one comes when the work has been passed on.
        if number == WAITERS {
            let pass = format!("SELECT outcome FROM volguard.pass_work({token}, 'next')");
            assert_eq!(sql.text(&pass).await?.as_deref(), Some("updated"));
        }
        let (waiter, served) = (site.sql().await?, served.clone());
        let service = manager(&waiter, &format!("waiter-{number}")).await?;
        tokio::spawn(async move {
            let token = waiter.acquire(service, "v1", Duration::from_secs(60)).await?.context("in time")?;
            served.send(number)?;
            anyhow::Ok(waiter.release(token).await?)
        });
        // Without the guard there is no queue any more.
        while observer.in_line().await? < number as i64 && order.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    if let Some(token) = sql.number(&format!("SELECT token FROM volguard.next_work({two})")).await? {
        served.send(0)?;
        sql.run(&format!(r#"SELECT volguard.finish_work({token}, '{{"status": "deleted"}}')"#)).await?;
    }
    drop(served);
    let mut turns = Vec::new();
    while let Some(number) = order.recv().await {
        turns.push(number);
    }
    match turns == (0..=WAITERS).collect::<Vec<_>>() {
        true => observer.until_settled(Duration::from_secs(20)).await,
        false => Err(Violation::OutOfTurn(turns).into()),
    }
}

#[tokio::test]
async fn work_that_lets_go_of_its_lock_when_it_is_passed_on_is_seen() -> anyhow::Result<()> {
    let violation = Violation::expected_in(waiters_for_the_lock_keep_their_places(&Site::without("RowStays")?).await);
    assert!(matches!(violation, Violation::OutOfTurn(_)), "{violation}");
    Ok(())
}
