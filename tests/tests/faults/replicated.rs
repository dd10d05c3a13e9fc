//! What logical replication gets of the locks.

use anyhow::ensure;
use volguard_tests::PrivateServer;

/// Each verb that takes or removes locks, and how many rows a subscriber learns of.
const VERBS: [(&str, &str, usize); 10] = [
    ("SELECT volguard.acquire(1, 'volume', 'a')", "INSERT", 1),
    ("SELECT volguard.release(token) FROM held", "DELETE", 1),
    (
        r#"SELECT count(*) FROM volguard.acquire_all(1, '[{"resource_type": "volume", "resource_id": "b"},
           {"resource_type": "volume", "resource_id": "c"}]')"#,
        "INSERT",
        2,
    ),
    ("SELECT volguard.set_status(token, 'busy') FROM held WHERE resource_id = 'b'", "UPDATE", 1),
    ("SELECT volguard.release_all(array_agg(token)) FROM held", "DELETE", 2),
    ("SELECT volguard.acquire(1, 'volume', 'd')", "INSERT", 1),
    ("SELECT volguard.force_release(token, 'test') FROM held", "DELETE", 1),
    ("SELECT volguard.acquire(1, 'volume', 'e')", "INSERT", 1),
    ("SELECT volguard.reconcile(1, '{}')", "DELETE", 1),
    ("SELECT volguard.acquire(1, 'volume', 'f'), volguard.deregister_service(1)", "DELETE", 1),
];

#[test]
fn a_subscriber_learns_of_every_lock_and_of_its_end() -> anyhow::Result<()> {
    let server = PrivateServer::builder().setting("wal_level", "logical").start()?;
    server.psql("SELECT pg_create_logical_replication_slot('locks', 'test_decoding')")?;
    server.psql("CREATE VIEW held AS SELECT token, resource_id FROM volguard.lock_status ORDER BY token")?;
    let service = server.psql("SELECT volguard.register_service('a', 'test')")?;
    for (verb, change, rows) in VERBS {
        server.psql("SELECT pg_logical_slot_get_changes('locks', NULL, NULL)")?;
        let verb = verb.replace("(1, ", &format!("({service}, ")).replace("(1)", &format!("({service})"));
        server.psql(&verb)?;
        let changes = server.psql("SELECT data FROM pg_logical_slot_get_changes('locks', NULL, NULL)")?;
        let change = format!("table volguard.workers: {change}:");
        let logged = changes.lines().filter(|line| line.starts_with(&change)).collect::<Vec<_>>();
        ensure!(logged.len() == rows, "{verb}: {changes}");
        // A delete names the key of the row: otherwise a subscriber can't find it.
        ensure!(logged.iter().all(|line| line.contains("resource_id[text]:'")), "{verb}: {changes}");
    }
    Ok(())
}
