//! Taking several locks at once: all of them or none, in one statement, by the head of all their lines.
//!
//! The list is read by [`lock_list`]; [`pursuit`] is the way to the locks, with the [`lines`] that it heads meanwhile, the
//! statements of [`request`], and the [`obstacles`] that these find.

use super::acquire;
use super::attempts::Pursuit;
use super::list::{self, Wanted};
use super::request::Request;
use crate::input::argument;
use crate::input::document::Path;
use crate::input::jsonb::Jsonb;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::service::identity;
use pgrx::datum::{AnyElement, Interval, Uuid};
use pgrx::iter::TableIterator;
use pgrx::{pg_extern, pg_sys};

/// How many lines a call may head: half of what the server's lock table is made for.
fn most_lines() -> usize {
    // SAFETY: plain variables of the backend, set when the server starts.
    let entries = unsafe {
        i64::from(pg_sys::max_locks_per_xact).saturating_mul(i64::from(pg_sys::MaxConnections))
    };
    usize::try_from(entries / 2).unwrap_or(1).max(1)
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the SQL interface")]
fn acquire_all(
    service_id: Option<i64>,
    // A document that is taken as it is.
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
        // SAFETY: the function is declared with a jsonb there, which lives while it runs.
        let text = unsafe { Jsonb::new(list) }.text(&Path::root("locks"))?;
        let locks = list::parse(text, most_lines())?;
        let deadline = acquire::deadline("acquire_all", wait)?;
        let cluster = identity::acting_for(service_id)?.cluster;
        let request = Request {
            service_id,
            parameters: [
                arg(service_id),
                Some(list),
                request_id.and_then(arg),
                arg(&*cluster),
            ],
            cluster,
            locks,
            deadline,
        };
        let tokens = Pursuit::of(&request).run()?.unwrap_or_default();
        Ok(request.locks.into_iter().zip(tokens).collect())
    });
    TableIterator::new(rows.into_iter().map(|(lock, token)| {
        let Wanted {
            resource_type,
            resource_id,
            lock_name,
            ..
        } = lock;
        (resource_type, resource_id, lock_name, token)
    }))
}

export! {
    volguard_acquire_all, pg_finfo_volguard_acquire_all => acquire_all_wrapper;
}
