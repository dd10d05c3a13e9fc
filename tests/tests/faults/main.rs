//! Faults: holders that die, sleep or vanish, connections that break, servers that crash; and what must hold all the same.
//!
//! Each scenario is a function that fails with a `Violation` when it sees what must never happen. It is played where
//! every guard stands, by both routes to the server where that matters, and where a guard was taken away: there it must
//! see the violation. So a test that could not fail would be noticed.
//!
//! All of it works on private servers, also if `DATABASE_URL` names another one: it crashes them, takes their
//! guards away and makes roles.

/// Plays scenarios straight on the server and through PgBouncer in transaction mode.
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

/// What cargo built of `src/bin/lock_worker.rs`.
const LOCK_WORKER: &str = env!("CARGO_BIN_EXE_lock-worker");
/// And of `src/bin/disk_writer.rs`.
const DISK_WRITER: &str = env!("CARGO_BIN_EXE_disk-writer");

mod background;
mod claimed;
mod cleaners;
mod cut;
mod dead;
mod dropped;
mod exclusion;
mod fencing;
mod indexes;
mod janitors;
mod killed;
mod lease;
mod leaving;
mod open_transactions;
mod released;
mod restored;
mod roles;
mod search_path;
mod server;
mod sets;
mod vanished;
mod waiting;
mod work;
mod zombie;
