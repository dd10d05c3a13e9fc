//! Faults: holders that die, stop or vanish, connections that
//! break, servers that crash; and what must hold nevertheless.
//!
//! Each scenario is a function that fails with a `Violation` when it sees what must never
//! happen. It runs with every guard, by both routes to the server where that matters, and with a
//! guard removed: there it must see the violation. So a test that can't fail would be noticed.
//!
//! All tests use private servers, also if `DATABASE_URL` names another
//! one: they crash them, remove their guards and create roles.

/// Runs scenarios directly on the server and through PgBouncer in transaction mode.
macro_rules! by_both_routes {
    ($($scenario:ident),+ $(,)?) => {
        mod direct {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() -> anyhow::Result<()> {
                super::$scenario(&volguard_tests::scenario::Site::new(
                    volguard_tests::scenario::Route::Direct,
                )?).await
            })+
        }
        mod pooled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() -> anyhow::Result<()> {
                super::$scenario(&volguard_tests::scenario::Site::new(
                    volguard_tests::scenario::Route::Pooled,
                )?).await
            })+
        }
    };
}

/// The binary that cargo built of `src/bin/lock_worker.rs`.
const LOCK_WORKER: &str = env!("CARGO_BIN_EXE_lock-worker");
/// The binary that cargo built of `src/bin/disk_writer.rs`.
const DISK_WRITER: &str = env!("CARGO_BIN_EXE_disk-writer");

mod background;
mod claimed;
mod cleaners;
mod clusters;
mod cut;
mod ddl;
mod dead;
mod distribution;
mod dropped;
mod durable;
mod events;
mod exclusion;
mod fail_over;
mod fencing;
mod hostages;
mod indexes;
mod janitors;
mod killed;
mod lease;
mod leaving;
mod many_services;
mod marked;
mod memory;
mod numbers;
mod open_transactions;
mod operator_repair;
mod patience;
mod poolers;
mod prepared;
mod registering;
mod released;
mod repairs;
mod replicated;
mod restored;
mod retried;
mod rights;
mod roles;
mod search_path;
mod seats;
mod seen;
mod serializable;
mod server;
mod sets;
mod standby;
mod stubborn_rules;
mod traces;
mod vanished;
mod waiting;
mod wake_ups;
mod work;
mod zombie;
