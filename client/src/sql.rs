//! The verbs of the extension as plain async functions, over any connection or transaction of `tokio_postgres`.
//!
//! For programs that have a pool, transactions and heartbeat loops of their own. One function calls one verb of the
//! same name once, with the arguments of the extension's reference: it neither repeats nor checks a clock, and only
//! connections of this crate have a time limit. A `wait` or a lease of more than a hundred years counts as a hundred.
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
//! *Errors:* the variants of [`Error`] for `VG001` to `VG004`, otherwise [`Error::Database`] with the code that the
//! reference gives. *Cancel safety:* the statement of a dropped future may have taken effect or not, and runs on: use
//! another connection, or send a cancel request.

/// A statement, from the verb that it calls, its text, and the types of its parameters.
macro_rules! statement {
    ($verb:ident: $text:literal => $($type:ident),*) => {{
        static SQL: $crate::sql::Statement = $crate::sql::Statement {
            verb: stringify!($verb),
            text: $text,
            types: &[$(::tokio_postgres::types::Type::$type),*],
        };
        &SQL
    }};
}

mod cleanup;
mod distribution;
mod locks;
mod work;

use std::time::Duration;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{GenericClient, Row};

pub use self::cleanup::{
    ClaimFilter, ClaimedRow, CleanedService, Cleanup, CleanupRound, abandon_cleanup, auto_cleanup, claim_cleanup,
    cleanup, finish_cleanup,
};
#[cfg(feature = "admin")]
pub use self::cleanup::{on_crash, track_resource, untrack_resource};
pub use self::distribution::{Due, Passing, Submission, TakenRow, cancel_work, next_work, pass_work, submit_work};
pub(crate) use self::locks::later_incarnation;
pub use self::locks::{acquire, acquire_all, assert_held, release, release_all, release_requests, set_status};
pub use self::locks::{deregister_service, extension_version, heartbeat, reconcile, register_service};
pub(crate) use self::sealed::{Answer, Params, Statement};
pub use self::work::{Documents, conditional_update, finish_work, start_work};
use crate::error::Error;

/// What the verbs run on: a connection or a transaction of `tokio_postgres`, a [`Connection`](crate::Connection), or a
/// [`Volguard`](crate::Volguard), which takes a connection of its pool.
///
/// On a foreign connection statements are unnamed, so that they leave nothing behind.
pub trait Executor: Sync {
    #[doc(hidden)]
    fn rows(&self, sql: &'static Statement, params: Params<'_>, wait: Duration) -> impl Future<Output = Answer> + Send;
}

impl<C: GenericClient + Sync> Executor for C {
    async fn rows(&self, sql: &'static Statement, params: Params<'_>, _: Duration) -> Answer {
        Ok(self.query_typed(sql.text, &sql.typed(params)).await?)
    }
}

/// No other crate can name these types, nor so implement [`Executor`].
mod sealed {
    use tokio_postgres::types::{ToSql, Type};

    pub type Answer = Result<Vec<tokio_postgres::Row>, crate::Error>;

    /// The parameters of a statement.
    pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

    /// An SQL text and the types of its parameters, which saves the round trip to learn them.
    ///
    /// Names are qualified and arguments named, so that neither a `search_path` nor a new argument changes the meaning.
    /// Results have built-in types only: tokio-postgres looks up unknown ones, with prepared statements.
    #[derive(Debug)]
    pub struct Statement {
        pub(crate) verb: &'static str,
        pub(crate) text: &'static str,
        pub(crate) types: &'static [Type],
    }

    impl Statement {
        pub(crate) fn typed<'a>(&self, params: Params<'a>) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
            debug_assert_eq!(params.len(), self.types.len(), "{}", self.text);
            params.iter().copied().zip(self.types.iter().cloned()).collect()
        }
    }
}

/// Seconds for `make_interval`.
fn seconds(time: Duration) -> f64 {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    time.min(LONGEST).as_secs_f64()
}

/// The row of a function that is no set.
async fn row(client: &impl Executor, sql: &'static Statement, params: Params<'_>) -> Result<Row, Error> {
    client.rows(sql, params, Duration::ZERO).await.map(only)
}

fn only(mut rows: Vec<Row>) -> Row {
    rows.pop().expect("the call of a function that is no set returns a row")
}

/// The value of a function that returns one.
async fn value<T: FromSqlOwned>(
    client: &impl Executor,
    sql: &'static Statement,
    params: Params<'_>,
) -> Result<T, Error> {
    Ok(row(client, sql, params).await?.try_get(0)?)
}
