//! Plans as auto_explain shows them. conditional_update finds keys and the rows of sub-queries by index; what a service
//! holds is found by the index on its id.

use std::future::poll_fn;
use std::sync::mpsc::{self, Receiver};

use anyhow::Context;
use tokio_postgres::{AsyncMessage, Client, NoTls};
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
async fn what_requests_have_taken_is_found_by_the_service() -> anyhow::Result<()> {
    let server = PrivateServer::builder().durable(false).start()?;
    let (client, notices) = connect(&server).await?;
    let row = client.query_one("SELECT volguard.register_service('node-1', 'volume')", &[]).await?;
    let service: i64 = row.get(0);
    // The calls, and how many of their statements look for a request.
    let calls = [
        (format!("SELECT volguard.release_requests({service}, ARRAY[gen_random_uuid()])"), 2),
        (format!("SELECT volguard.claim_cleanup({service}, request_id => gen_random_uuid())"), 1),
    ];
    for (call, _) in &calls {
        client.batch_execute(call).await?;
    }
    client.batch_execute(OTHER_LOCKS).await?;
    client.batch_execute(EXPLAIN).await?;
    for (call, statements) in &calls {
        notices.try_iter().for_each(drop);
        client.batch_execute(call).await?;
        let mut plans: Vec<String> = notices.try_iter().collect();
        plans.retain(|plan| plan.contains("w.request_id OPERATOR"));
        assert_eq!(plans.len(), *statements, "{call}: {plans:?}");
        for plan in plans {
            assert!(plan.contains("workers_service_id_idx") && !plan.contains("Seq Scan"), "{plan}");
        }
    }
    Ok(())
}
