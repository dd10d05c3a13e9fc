//! The plans of conditional_update, as auto_explain shows them: keys and sub-queries find their rows by index.

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
    ANALYZE volumes, snapshots;
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_level = notice;";

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
