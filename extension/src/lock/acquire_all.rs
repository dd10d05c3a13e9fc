//! Acquires several locks at once, all of them or none.

use super::attempts;
use super::list::{self, Listed};
use super::request::{Request, deadline};
use crate::input::argument;
use crate::input::document::Path;
use crate::input::jsonb::Jsonb;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::service::identity;
use pgrx::datum::{AnyElement, Interval, Uuid};
use pgrx::iter::TableIterator;
use pgrx::{pg_extern, pg_sys};

/// The most locks of one call, however large the server's lock table is.
const MOST_LOCKS: usize = 10_000;

/// How many values of JSON the list may hold for each lock: its members and their details.
const VALUES_OF_A_LOCK: usize = 20;

/// How many wait queues a call may head: half of the nominal size of the server's lock table.
fn most_queues() -> usize {
    // SAFETY: plain variables of the backend, set when the server starts.
    let entries = unsafe { i64::from(pg_sys::max_locks_per_xact).saturating_mul(i64::from(pg_sys::MaxConnections)) };
    usize::try_from(entries / 2).unwrap_or(1).clamp(1, MOST_LOCKS)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the SQL interface")]
fn acquire_all(
    service_id: Option<i64>,
    // A jsonb, of which only the text is read.
    locks: Option<AnyElement>,
    wait: Option<Interval>,
    request_id: Option<Uuid>,
) -> TableIterator<
    'static,
    (
        pgrx::name!(resource_type, String),
        pgrx::name!(resource_id, String),
        pgrx::name!(lock_name, String),
        pgrx::name!(token, i64),
    ),
> {
    let rows = verb(Vec::new(), || {
        let service_id = argument::required("service_id", service_id)?;
        let list = argument::required("locks", locks)?.datum();
        // SAFETY: the function is declared with a jsonb there, which lives while the function runs.
        let (list, most) = (unsafe { Jsonb::new(list) }, most_queues());
        let text = list.text(&Path::root("locks"), most * VALUES_OF_A_LOCK)?;
        let mut locks = list::parse(text, most)?;
        let identity = identity::acting_for(service_id)?;
        list::spell(&mut locks, identity.role())?;
        let wanted = locks.iter().map(Listed::wanted);
        let deadline = deadline("acquire_all", wait)?;
        let request = Request {
            service_id: Some(service_id),
            cluster: &identity.cluster,
            locks: wanted.collect::<Result<_, Error>>()?,
            request_id,
            deadline,
            submitted: None,
        };
        let tokens = attempts::take(&request)?;
        drop(request);
        Ok(locks.into_iter().zip(tokens).collect())
    });
    TableIterator::new(rows.into_iter().map(|(lock, token)| {
        let Listed { resource_type, resource_id, lock_name, .. } = lock;
        (resource_type, resource_id, lock_name, token)
    }))
}

export! {
    volguard_acquire_all, pg_finfo_volguard_acquire_all => acquire_all_wrapper;
}
