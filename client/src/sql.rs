//! The verbs of the extension as plain async functions, over any connection or transaction of `tokio_postgres`.
//!
//! For programs that have a pool, transactions and heartbeat loops of their own. One function calls one verb of the same
//! name once: it neither repeats nor checks a clock, and has no time limit. The rest of this crate stands on them.
//! Arguments are those of the reference of the extension; a `wait` or a lease of more than a hundred years counts as a
//! hundred.
//!
//! ```no_run
//! # async fn run(mut client: tokio_postgres::Client) -> Result<(), volguard::Error> {
//! use std::time::Duration;
//! use volguard::{Key, sql};
//!
//! let lease = Some(Duration::from_secs(30));
//! let service_id = sql::register_service(&client, "node-1", "volume-manager", None, lease, None).await?;
//! if let Some(token) = sql::acquire(&client, service_id, &Key::new("volume", "v-17"), Duration::ZERO, None).await? {
//!     let transaction = client.transaction().await?;
//!     sql::assert_held(&transaction, token).await?;
//!     transaction.execute("UPDATE volumes SET size = size + 1 WHERE id = 'v-17'", &[]).await?;
//!     transaction.commit().await?;
//!     sql::release(&client, token).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//! [`Error::ServiceFenced`], [`Error::TokenNotHeld`], [`Error::MalformedDocument`] and [`Error::LeaseExpired`] for the
//! codes `VG001` to `VG004`, otherwise [`Error::Database`] with the code that the reference gives. A key whose details are
//! no JSON is an [`Error::InvalidDocument`] before anything is sent.
//!
//! # Cancel safety
//! When a future is dropped, its statement may have taken effect or not, and runs on: use another connection, or end the
//! statement by a cancel request.
//!
//! With sqlx or another driver, send the same statements: each function's text stands in its source.

mod cleanup;
mod executor;
mod locks;
mod services;
mod work;

#[cfg(feature = "admin")]
mod admin;

use std::time::Duration;

#[cfg(feature = "admin")]
pub use self::admin::{on_crash, track_resource};
pub use self::cleanup::{
    ClaimedRow, CleanedService, Cleanup, abandon_cleanup, auto_cleanup, claim_cleanup, cleanup, finish_cleanup,
};
pub use self::executor::Executor;
pub(crate) use self::executor::sealed;
pub(crate) use self::executor::{Params, Statement};
pub use self::locks::{acquire, acquire_all, assert_held, release, release_all, release_requests, set_status};
pub(crate) use self::services::later_incarnation;
pub use self::services::{deregister_service, extension_version, heartbeat, reconcile, register_service};
pub use self::work::{Documents, conditional_update, finish_work, start_work};

use crate::error::Error;

/// Seconds for `make_interval`.
fn seconds(time: Duration) -> f64 {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    time.min(LONGEST).as_secs_f64()
}

fn count(row: &tokio_postgres::Row) -> Result<u64, Error> {
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}
