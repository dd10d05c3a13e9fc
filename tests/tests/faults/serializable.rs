//! Under SERIALIZABLE a lookup of ours takes no predicate lock. Otherwise transactions on different keys would fail in
//! each other's way: what one inserts is on the page of an index that another has searched.

use std::time::Duration;

use anyhow::Context;
use volguard_tests::scenario::{Observer, Route, Site, Sql, Violation, sqlstate};

const LEASE: Duration = Duration::from_secs(300);
const CLIENTS: usize = 8;
const ROUNDS: usize = 6;

const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";

/// The predicate locks on our relations.
async fn predicate_locks(observer: &Observer) -> anyhow::Result<Option<String>> {
    let look = "SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks
                WHERE mode = 'SIReadLock' AND relation IN
                      (SELECT oid FROM pg_class WHERE relnamespace = 'volguard'::regnamespace)";
    Ok(observer.sql().text(look).await?)
}

/// Transactions of eight clients on different keys, all open at once, step by step.
async fn different_keys(site: &Site) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let sql = site.sql().await?;
        let service = sql.register(&format!("client-{number}"), LEASE).await?;
        clients.push((sql, service));
    }
    for round in 0..ROUNDS {
        let mut tokens = Vec::new();
        for (number, (sql, service)) in clients.iter().enumerate() {
            sql.run(BEGIN).await?;
            let token = step(sql.acquire(*service, &format!("v{number}"), Duration::ZERO).await)?;
            tokens.push(token.context("free")?);
        }
        for ((sql, _), token) in clients.iter().zip(&tokens) {
            step(sql.run(&format!("SELECT volguard.assert_held({token})")).await)?;
        }
        for (number, ((sql, service), token)) in clients.iter().zip(&tokens).enumerate() {
            // Half of them in the same transaction, half in one of its own, beside the next ones of the others.
            if (number + round) % 2 == 0 {
                step(sql.run("COMMIT").await)?;
                sql.run(BEGIN).await?;
            }
            let locks = format!(r#"[{{"resource_type": "volume", "resource_id": "w{number}"}}]"#);
            let all = format!("SELECT token FROM volguard.acquire_all({service}, '{locks}')");
            let also = step(sql.number(&all).await)?.context("free")?;
            assert!(step(sql.release(*token).await)?);
            assert!(step(sql.release(also).await)?);
        }
        for (sql, _) in &clients {
            step(sql.run("COMMIT").await)?;
        }
    }
    Ok(())
}

fn step<T>(result: Result<T, tokio_postgres::Error>) -> anyhow::Result<T> {
    result.map_err(|error| match &*sqlstate(&error) {
        "40001" => Violation::Unserializable(format!("{error:?}")).into(),
        _ => error.into(),
    })
}

#[tokio::test]
async fn transactions_on_different_keys_do_not_fail() -> anyhow::Result<()> {
    different_keys(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn with_predicate_locks_they_fail_in_each_others_way() -> anyhow::Result<()> {
    let violation = Violation::expected_in(different_keys(&Site::without("NoPredicateLocks")?).await);
    assert!(matches!(violation, Violation::Unserializable(_)), "{violation}");
    Ok(())
}

/// Calls that look, and write nothing or their own row.
async fn looks(sql: &Sql, observer: &Observer) -> anyhow::Result<()> {
    let (service, other) = (sql.register("a", LEASE).await?, sql.register("b", LEASE).await?);
    let token = sql.acquire(service, "v0", Duration::ZERO).await?.context("free")?;
    let dead = sql.register("dead", LEASE).await?;
    sql.run(&format!("SELECT volguard.acquire({dead}, 'volume', 'crashed', status => 'creating')")).await?;
    observer.end_lease(dead).await?;
    let request = "00000000-0000-0000-0000-000000000001";
    sql.run(&format!("SELECT volguard.acquire({service}, 'volume', 'v1', request_id => '{request}')")).await?;
    for call in [
        format!("volguard.acquire({other}, 'volume', 'v0')"),
        format!("volguard.acquire({other}, 'volume', 'v0', status => 'creating')"),
        format!("volguard.acquire({other}, 'volume', 'crashed')"),
        format!("volguard.acquire({service}, 'volume', 'v1', request_id => '{request}')"),
        format!("volguard.acquire_all({other}, '[{{\"resource_type\": \"volume\", \"resource_id\": \"v0\"}}]')"),
        format!("volguard.start_work({other}, 'volume', 'v0', '{{\"status\": \"extending\"}}')"),
        "volguard.release(-1)".to_owned(),
        "volguard.release_all('{-1, -2}')".to_owned(),
        "volguard.finish_work(-1, '{\"status\": \"available\"}')".to_owned(),
        format!("volguard.assert_held({token})"),
        format!("volguard.set_status({token}, 'creating')"),
        format!("volguard.set_status({token}, NULL)"),
        format!("volguard.release({token})"),
        format!("volguard.release_all('{{{token}}}')"),
        format!("volguard.reconcile({service}, '{{{token}}}')"),
        format!("volguard.release_requests({service}, '{{{request}}}')"),
    ] {
        sql.run(BEGIN).await?;
        sql.run(&format!("SELECT * FROM {call}")).await.with_context(|| call.clone())?;
        let locks = predicate_locks(observer).await?;
        sql.run("ROLLBACK").await?;
        if let Some(locks) = locks {
            return Err(Violation::LeftBehind(format!("{call}: predicate locks on {locks}")).into());
        }
    }
    Ok(())
}

async fn lookups(site: &Site) -> anyhow::Result<()> {
    let (sql, observer) = (site.sql().await?, site.observer().await?);
    sql.run("SELECT volguard.track_resource('volume', 'app.volumes')").await?;
    looks(&sql, &observer).await
}

#[tokio::test]
async fn a_lookup_takes_no_predicate_lock() -> anyhow::Result<()> {
    lookups(&Site::new(Route::Direct)?).await
}

#[tokio::test]
async fn without_the_guard_a_lookup_takes_predicate_locks() -> anyhow::Result<()> {
    let violation = Violation::expected_in(lookups(&Site::without("NoPredicateLocks")?).await);
    assert!(matches!(violation, Violation::LeftBehind(_)), "{violation}");
    Ok(())
}

/// What a conditional update reads of the user's own table counts for serializability as any other read of it.
#[tokio::test]
async fn a_conditional_update_keeps_the_predicate_locks_of_the_users_table() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    let (one, other) = (site.sql().await?, site.sql().await?);
    // Each creates a volume unless there is the other one: one after the other, one of them would find it.
    let create = async |sql: &Sql, own: &str, others: &str| {
        let update = format!(
            r#"SELECT (volguard.conditional_update('app.volumes', '{{"id": "{others}"}}', '{{"size": 0}}')).outcome"#
        );
        assert_eq!(sql.text(&update).await?.as_deref(), Some("not_found"));
        sql.run(&format!("INSERT INTO app.volumes (id, status) VALUES ('{own}', 'available')")).await
    };
    one.run(BEGIN).await?;
    other.run(BEGIN).await?;
    let ended = async {
        create(&one, "v0", "v1").await?;
        create(&other, "v1", "v0").await?;
        one.run("COMMIT").await?;
        other.run("COMMIT").await
    };
    let failed = ended.await.map_err(|error| sqlstate(&error));
    assert_eq!(failed, Err("40001".to_owned()));
    Ok(())
}
