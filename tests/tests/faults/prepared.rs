//! Transactions that are prepared, and committed or rolled back later.

use std::fs::read_to_string;

use volguard_tests::PrivateServer;

/// The server's log tells what has happened. What a prepared transaction has done may still be undone; its event, which
/// is a row, goes with it.
#[test]
fn the_log_does_not_tell_what_was_only_prepared() -> anyhow::Result<()> {
    let server = PrivateServer::builder().setting("max_prepared_transactions", "2").start()?;
    server.psql("SELECT volguard.register_service('a', 'test')")?;
    let forced = || anyhow::Ok(read_to_string(server.log())?.matches("volguard: forced").count());
    let force = "SELECT volguard.force_release(volguard.acquire(service_id, 'volume', 'v0'), 'test')
                 FROM volguard.service_status";
    server.psql(&format!("BEGIN; {force}; PREPARE TRANSACTION 'undone'"))?;
    assert_eq!(forced()?, 0);
    server.psql("ROLLBACK PREPARED 'undone'")?;
    let events = "SELECT count(*) FROM volguard.event_log WHERE kind = 'forced'";
    assert_eq!((server.psql(events)?.as_str(), forced()?), ("0", 0));
    server.psql(&format!("BEGIN; {force}; PREPARE TRANSACTION 'done'"))?;
    server.psql("COMMIT PREPARED 'done'")?;
    assert_eq!((server.psql(events)?.as_str(), forced()?), ("1", 0));
    server.psql(&format!("BEGIN; {force}; COMMIT"))?;
    assert_eq!((server.psql(events)?.as_str(), forced()?), ("2", 1));
    Ok(())
}

/// A prepared transaction keeps a dead service from being fenced. It has no session that could be ended: only a person
/// can, and `why` says so.
#[test]
fn a_prepared_transaction_that_holds_a_dead_service_is_reported() -> anyhow::Result<()> {
    let server = PrivateServer::builder().setting("max_prepared_transactions", "2").start()?;
    server.psql("SELECT volguard.acquire(volguard.register_service('a', 'test'), 'volume', 'v0')")?;
    server.psql("BEGIN; SELECT volguard.assert_held(token) FROM volguard.lock_status; PREPARE TRANSACTION 'open'")?;
    server.psql("UPDATE volguard.services SET heartbeat_at = now() - interval '1 day'")?;
    assert_eq!(server.psql("SELECT state FROM volguard.auto_cleanup()")?, "busy");
    let said = server.psql("SELECT volguard.why('volume', 'v0')")?;
    assert!(said.contains("A prepared transaction keeps the service from being fenced"), "{said}");
    // One that has taken the lock is seen as well.
    server.psql("ROLLBACK PREPARED 'open'")?;
    assert_eq!(server.psql("SELECT count(*) FROM volguard.auto_cleanup()")?, "1");
    server.psql(
        "BEGIN; SELECT volguard.acquire(volguard.register_service('b', 'test'), 'volume', 'v0'); PREPARE TRANSACTION 'took'",
    )?;
    let said = server.psql("SELECT volguard.why('volume', 'v0')")?;
    assert!(said.contains("in the hands of a prepared transaction"), "{said}");
    server.psql("COMMIT PREPARED 'took'")?;
    Ok(())
}
