//! Statements and plans as auto_explain shows them. conditional_update finds keys and the rows of sub-queries by index;
//! what a service holds is found by the index on its id. Updates of the user's tables return nothing but columns.

use std::future::poll_fn;
use std::sync::mpsc::{self, Receiver};

use anyhow::Context;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};
use volguard_tests::PrivateServer;

const SCHEMA: &str = "
    CREATE TABLE volumes (id uuid PRIMARY KEY, name varchar(40) UNIQUE, status text, size integer);
    CREATE TABLE snapshots (id integer PRIMARY KEY, volume_id uuid NOT NULL, deleted boolean);
    CREATE INDEX snapshots_of_volume ON snapshots (volume_id);
    INSERT INTO volumes SELECT md5(n::text)::uuid, 'volume-' || n, 'available', n FROM generate_series(1, 20000) AS n;
    INSERT INTO snapshots SELECT n, md5((n / 2)::text)::uuid, n % 2 = 0 FROM generate_series(1, 20000) AS n;
    ANALYZE volumes, snapshots;";

const EXPLAIN: &str = "
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_level = notice;";

/// Locks of other services, more than a plan for an empty table expects.
const OTHER_LOCKS: &str = "
    INSERT INTO volguard.workers (resource_id, resource_type, lock_name, cluster, token, service_id, request_id, acquired_at, updated_at)
    SELECT n, 'volume', '', 'default', -n, -n, gen_random_uuid(), now(), now() FROM generate_series(1, 20000) AS n";

/// A call, and the indexes that its plans must name.
const CALLS: [(&str, &[&str]); 5] = [
    (
        r#"'{"id": "c4ca4238-a0b9-2382-0dcc-509a6f75849b"}', '{"status": "deleting"}', '{"status": ["available", null], "size": {"ge": 1}}'"#,
        &["volumes_pkey"],
    ),
    (
        r#"'{"name": "volume-7"}', '{"status": "deleting"}', '{"status": {"not": "error"}, "size": {"lt": {"add": [{"column": "size"}, 1]}}}'"#,
        &["volumes_name_key"],
    ),
    (r#"'{"name": "volume-8"}', '{"status": "deleting"}', '{"status": "no such status"}'"#, &["volumes_name_key"]),
    (
        r#"'{"name": "volume-19000"}', '{"status": "deleting"}', filter =>
            '{"not": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false}}}}'"#,
        &["volumes_name_key", "snapshots_of_volume"],
    ),
    (
        r#"'{"name": "volume-9"}', '{"status": {"case": [{"when": {"exists": {"table": "snapshots", "where": {"volume_id": {"eq": {"outer": "id"}}}}},
            "then": "in-use"}], "else": "available"}}', '{"size": 9}'"#,
        &["volumes_name_key", "snapshots_of_volume"],
    ),
];

/// A connection whose notices can be read.
async fn connect(server: &PrivateServer) -> anyhow::Result<(Client, Receiver<String>)> {
    let (client, mut connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    let (notices, received) = mpsc::channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message
                && notices.send(notice.message().to_owned()).is_err()
            {
                break;
            }
        }
    });
    Ok((client, received))
}

#[tokio::test]
async fn keys_and_sub_queries_use_indexes() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let (client, notices) = connect(&server).await?;
    client.batch_execute(SCHEMA).await?;
    client.batch_execute(EXPLAIN).await?;
    for (arguments, indexes) in CALLS {
        notices.try_iter().for_each(drop);
        let call = format!("SELECT outcome FROM volguard.conditional_update('volumes', {arguments})");
        client.query_one(&call, &[]).await.context(call)?;
        // Notices come before their answer. The last plan is that of the call itself.
        let plans: Vec<String> = notices.try_iter().collect();
        let plans = plans.join("\n");
        for index in indexes {
            assert!(plans.contains(index), "{index}: {plans}");
        }
        assert!(plans.contains("Update on"), "no plan of the update: {plans}");
        assert!(!plans.contains("Seq Scan"), "{plans}");
    }
    Ok(())
}

/// Also by a plan that was made, and kept, while the table was empty.
#[tokio::test]
async fn what_a_request_has_claimed_is_found_by_the_service() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let (client, notices) = connect(&server).await?;
    let row = client.query_one("SELECT volguard.register_service('node-1', 'volume')", &[]).await?;
    let service: i64 = row.get(0);
    let call = format!("SELECT volguard.claim_cleanup({service}, request_id => gen_random_uuid())");
    client.batch_execute(&call).await?;
    client.batch_execute(OTHER_LOCKS).await?;
    client.batch_execute(EXPLAIN).await?;
    notices.try_iter().for_each(drop);
    client.batch_execute(&call).await?;
    let mut plans: Vec<String> = notices.try_iter().collect();
    plans.retain(|plan| plan.contains("w.request_id OPERATOR"));
    assert_eq!(plans.len(), 1, "{plans:?}");
    assert!(plans[0].contains("workers_service_id_idx") && !plans[0].contains("Seq Scan"), "{}", plans[0]);
    Ok(())
}

/// Waiting work of two operations, most of which is not due; a service.
const QUEUE: &str = r#"
    CREATE TABLE queued (id text PRIMARY KEY, status text);
    INSERT INTO queued SELECT n, 'free' FROM generate_series(1, 2000) AS n;
    SELECT volguard.track_resource('queued', 'queued');
    SELECT count(volguard.submit_work('queue', 'queued', n::text, '{"status": "busy"}', operation => 'op-' || n % 2, target => 'queued',
        not_before => CASE WHEN n % 100 > 1 THEN now() + interval '1 h' END)) FROM generate_series(1, 2000) AS n"#;

/// How a transaction has read the table so far.
const READS: &str =
    "SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'volguard.workers'::regclass";

/// A look for work reads a few rows by the index of the queue, however much waits.
#[tokio::test]
async fn work_is_found_by_the_index_of_its_queue() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let (mut client, _notices) = connect(&server).await?;
    let row = client.query_one("SELECT volguard.register_service('node-1', 'queue', 'queue', '1 hour')", &[]).await?;
    let service: i64 = row.get(0);
    client.batch_execute(QUEUE).await?;
    let call = format!("SELECT work_id FROM volguard.next_work({service}, operations => '{{op-0,op-1}}')");
    for _ in 0..2 {
        // Counts from here on.
        client.batch_execute("SELECT pg_stat_force_next_flush()").await?;
        let transaction = client.transaction().await?;
        assert_eq!(transaction.query(&call, &[]).await?.len(), 1);
        let reads = transaction.query_one(READS, &[]).await?;
        let (seq_scan, fetched): (i64, i64) = (reads.get(0), reads.get(1));
        // The first row of each lane, the row that is taken, and the row again for its update.
        assert!(
            seq_scan == 0 && (1..=8).contains(&fetched),
            "{seq_scan} scans of the table, {fetched} rows by an index"
        );
        transaction.commit().await?;
    }
    // Callers ask by the number what has become of a piece of work.
    client.batch_execute("ANALYZE volguard.workers").await?;
    let plan = client.simple_query("EXPLAIN SELECT status FROM volguard.lock_status WHERE work_id = 1").await?;
    assert!(format!("{plan:?}").contains("workers_work_id_key"), "{plan:?}");
    Ok(())
}

/// A claim of the work on one resource finds it by its key, however much the dead service has, also by a plan that was
/// made while the table was empty.
#[tokio::test]
async fn claimed_work_on_one_resource_is_found_by_its_key() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let (client, notices) = connect(&server).await?;
    let services = "SELECT volguard.register_service('node-1', 'volume'),
                           volguard.register_service('node-2', 'volume', lease => '1 h')";
    let row = client.query_one(services, &[]).await?;
    let (claimer, dead): (i64, i64) = (row.get(0), row.get(1));
    let call = format!("SELECT resource_id FROM volguard.claim_cleanup({claimer}, 1, resource_id => '19999')");
    client.batch_execute(&call).await?;
    client.batch_execute(OTHER_LOCKS).await?;
    client
        .batch_execute(&format!(
            "UPDATE volguard.workers SET service_id = {dead}, status = 'copying';
             UPDATE volguard.services SET heartbeat_at = now() - interval '2 h' WHERE service_id = {dead}"
        ))
        .await?;
    client.batch_execute(EXPLAIN).await?;
    notices.try_iter().for_each(drop);
    assert_eq!(client.query_one(&call, &[]).await?.get::<_, &str>(0), "19999");
    let plans: Vec<String> = notices.try_iter().collect();
    for (statement, one) in [("SELECT w.service_id FROM", 1), ("o.resource_id OPERATOR", 1)] {
        let plans: Vec<_> = plans.iter().filter(|plan| plan.contains(statement)).collect();
        assert_eq!(plans.len(), one, "{statement}: {plans:?}");
        let by_key = plans[0].contains("workers_pkey") || plans[0].contains("workers_work_key");
        assert!(by_key && !plans[0].contains("workers_service_id_idx"), "{}", plans[0]);
    }
    let whose = plans.iter().find(|plan| plan.contains("CROSS JOIN")).context("the look for dead services")?;
    assert!(!whose.contains("Seq Scan on workers"), "{whose}");
    Ok(())
}

/// Tables of all kinds that are updated, and a service.
const RETURNING_SCHEMA: &str = r#"
    CREATE TABLE disks (id text PRIMARY KEY, status text, n integer DEFAULT 0);
    CREATE TABLE loose (id text, status text);
    CREATE TABLE parted (id text PRIMARY KEY, status text) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
    CREATE TABLE chained (id text PRIMARY KEY, status text);
    CREATE VIEW seen AS SELECT * FROM disks;
    CREATE FUNCTION go_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER go_on AFTER UPDATE ON chained FOR EACH ROW EXECUTE FUNCTION go_on();
    INSERT INTO disks SELECT n, 'free' FROM generate_series(1, 9) AS n;
    INSERT INTO loose SELECT n, 'free' FROM generate_series(1, 9) AS n;
    INSERT INTO parted VALUES (1, 'free');
    INSERT INTO chained VALUES (1, 'free');
    SELECT volguard.track_resource('disk', 'disks'), volguard.track_resource('loose', 'loose');
    SELECT volguard.on_crash(kind, 'busy', '{"status": "error"}') FROM unnest('{disk,loose}'::text[]) AS kind;
    SELECT volguard.register_service('node-1', 'disks') AS service_id"#;

/// Every verb that writes to the user's tables, by each of its ways.
fn writing_calls(service_id: i64) -> Vec<String> {
    let exists = r#"{"not": {"exists": {"table": "loose", "where": {"id": {"eq": {"outer": "status"}}}}}}"#;
    let mut calls = Vec::new();
    for table in ["disks", "loose", "parted", "chained", "seen"] {
        let update =
            format!("SELECT volguard.conditional_update('{table}', '{{\"id\": \"1\"}}', '{{\"status\": \"x\"}}'");
        calls.push(format!("{update})"));
        calls.push(format!("{update}, '{{\"status\": \"no such status\"}}')"));
        calls.push(format!("{update}, filter => '{exists}')"));
        calls.push(format!("{update}, filter_sql => 'status IS NOT NULL')"));
    }
    for kind in ["disk", "loose"] {
        let start =
            |id| format!("SELECT volguard.start_work({service_id}, '{kind}', '{id}', '{{\"status\": \"busy\"}}'");
        for id in 1..4 {
            calls.push(format!("{}, request_id => '00000000-0000-0000-0000-00000000000{id}')", start(id)));
            calls.push(format!("{}, request_id => '00000000-0000-0000-0000-00000000000{id}')", start(id)));
        }
        calls.push(format!("{}, filter => '{exists}', filter_sql => 'status IS NOT NULL')", start(5)));
        let finish = r#"volguard.finish_work(token, '{"status": "free"}')"#;
        calls.push(format!(
            "SELECT {finish} FROM volguard.lock_status WHERE resource_type = '{kind}' AND resource_id = '1'"
        ));
    }
    // One resource of one type, and then several of both types, repaired by their rules.
    calls.push("SELECT volguard.register_service('node-1', 'disks')".to_owned());
    calls.push(format!("SELECT * FROM volguard.cleanup({service_id})"));
    calls
}

/// Where a table is distributed (Citus), other nodes compute what a RETURNING list has beside columns: `to_jsonb` of a
/// whole row fails there, or takes the server down.
async fn updates_return_columns_only(setting: &str) -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let (client, notices) = connect(&server).await?;
    let mut rows = client.simple_query(RETURNING_SCHEMA).await?;
    rows.retain(|row| matches!(row, SimpleQueryMessage::Row(row) if row.columns()[0].name() == "service_id"));
    let [SimpleQueryMessage::Row(row)] = &rows[..] else {
        anyhow::bail!("no service: {rows:?}");
    };
    let service_id: i64 = row.get(0).context("a service id")?.parse()?;
    client.batch_execute(EXPLAIN).await?;
    client.batch_execute(setting).await?;
    let mut updates = 0;
    for call in writing_calls(service_id) {
        // Twice, because the second call runs a kept statement.
        for _ in 1..=2 {
            notices.try_iter().for_each(drop);
            client.batch_execute(&call).await.context(call.clone())?;
            for plan in notices.try_iter() {
                let Some((_, returned)) = plan.split_once(" RETURNING ") else {
                    continue;
                };
                if !plan.contains("Update on public.") && !plan.contains("Query Text: UPDATE public.") {
                    continue;
                }
                let returned = returned.lines().next().unwrap_or_default();
                assert!(["target.*", "work.number"].contains(&returned), "{call}: {plan}");
                updates += 1;
            }
        }
    }
    // All but the refusals, most of them twice.
    assert!(updates >= 40, "only {updates} updates seen");
    let repaired = "SELECT count(*) FROM (SELECT status FROM disks UNION ALL SELECT status FROM loose) AS r WHERE status = 'error'";
    assert_eq!(client.query_one(repaired, &[]).await?.get::<_, i64>(0), 6);
    Ok(())
}

#[tokio::test]
async fn updates_of_the_users_tables_return_columns_only() -> anyhow::Result<()> {
    updates_return_columns_only("").await
}

#[tokio::test]
async fn with_generic_plans_too() -> anyhow::Result<()> {
    updates_return_columns_only("SET plan_cache_mode = force_generic_plan").await
}
