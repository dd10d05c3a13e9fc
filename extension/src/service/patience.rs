//! Ends a session that idles in a transaction which keeps a dead service from being fenced.
//!
//! A fence waits for every transaction that has the service lock. A client that hangs, or whose machine is gone, leaves
//! such a transaction open for as long as TCP lets it. What it holds is past its lease; so after one more lease a
//! cleanup ends the session, as `pg_terminate_backend` would. A session that runs a statement is never ended, and a
//! prepared transaction has none.

use super::service_lock::ServiceLock;
use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::pg::{owner, settings};
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event, EventKind};
use crate::store::sql;
use crate::wait::lock_table::{self, Entry};
use crate::wait::sessions::Session;
use pgrx::pg_sys;
use serde_json::json;

unsafe extern "C" {
    fn kill(pid: i32, signal: i32) -> i32;
}
const SIGTERM: i32 = 15;

/// How long a session must have been idle, in microseconds. A program that works idles for moments between statements.
/// One that has the lock exclusive: as long as the service must have been dead.
const IDLE: i64 = 1_000_000;

/// The transactions that have the lock of a service, as the lock table has them.
pub fn holders(service_id: i64) -> Result<Vec<Entry>, Error> {
    let tag = *ServiceLock::of(service_id).tag();
    let holds = |entry: &Entry| entry.holds() && entry.is_same_lock(tag.kind() as u16, tag.number());
    Ok(lock_table::entries()?.into_iter().filter(holds).collect())
}

/// Ends the sessions that idle in a transaction with the lock of this service, if its lease has been over for
/// `volguard.gate_patience`. True if there was one: the lock is free soon, not yet.
///
/// To be called by a cleanup that has found the lock taken, outside of what it may undo: the event must stay.
pub fn end_idle_holder(service_id: i64) -> Result<bool, Error> {
    let Some((cluster, patience)) = overdue(service_id)? else {
        return Ok(false);
    };
    let mut any = false;
    for holder in holders(service_id)? {
        if let Some(session) = end(&holder, service_id, patience)? {
            record(service_id, &cluster, holder.pid, &session)?;
            any = true;
        }
    }
    Ok(any)
}

/// The cluster of a service that isn't fenced, and has been dead for long enough; and for how long, in microseconds.
fn overdue(service_id: i64) -> Result<Option<(String, i64)>, Error> {
    let patience = settings::gate_patience();
    if patience.is_some_and(|patience| patience.is_zero()) {
        return Ok(None);
    }
    let patience = patience.map(|patience| patience.as_secs_f64());
    let late = !sabotage::removed(Guard::GatePatience);
    sql::OVERDUE.run(&[arg(service_id), patience.and_then(arg), arg(late)], |rows| {
        let seconds: f64 = rows.get(0, 1)?;
        Some((rows.get(0, 0)?, (seconds * 1e6) as i64))
    })
}

/// Ends a session that idles in the transaction which has the lock; `None` if it doesn't (any more).
fn end(holder: &Entry, service_id: i64, patience: i64) -> Result<Option<Session>, Error> {
    // SAFETY: a plain variable of the backend.
    let is_own = holder.pid == unsafe { pg_sys::MyProcPid };
    // A prepared transaction has no process, and a signal to process 0 goes to all of the server.
    if is_own || holder.pid <= 1 {
        return Ok(None);
    }
    // Right before the signal: the transaction has the lock still, and then, that its session is idle.
    let same = |entry: &Entry| (entry.pid, entry.transaction) == (holder.pid, holder.transaction);
    let Some(held) = holders(service_id)?.into_iter().find(same) else {
        return Ok(None);
    };
    // One that has it exclusive has cleaned up or fenced: a person may look at that before the commit.
    let idle = match held.holds_shared {
        true => IDLE,
        false => patience.max(IDLE),
    };
    let Some(session) = Session::of(holder.transaction.0, holder.pid) else {
        return Ok(None);
    };
    let is_idle = session.state.is_idle_in_transaction() && idle_for(&session) >= idle;
    if !is_idle && !sabotage::removed(Guard::IdleOnly) {
        return Ok(None);
    }
    // SAFETY: a signal to a backend of this server, which treats it as the request of an administrator. Postgres sends
    // it to the process group, which the backend leads, so that what the backend has started ends too.
    let sent = unsafe { kill(-holder.pid, SIGTERM) == 0 || kill(holder.pid, SIGTERM) == 0 };
    Ok(sent.then_some(session))
}

/// In microseconds.
fn idle_for(session: &Session) -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }.saturating_sub(session.state_since)
}

fn record(service_id: i64, cluster: &str, pid: i32, session: &Session) -> Result<(), Error> {
    let role = owner::name(session.role);
    let idle = idle_for(session) / 1_000_000;
    // At once: the end of a session can't be rolled back.
    pgrx::log!(
        "volguard: ended session {pid} of role {role}, idle in a transaction with the lock of dead service {service_id} for {idle} s"
    );
    events::record(&Event {
        cluster: Some(cluster),
        service_id: Some(service_id),
        details: json!({"pid": pid, "role": role, "state": session.state.name(), "idle_seconds": idle}),
        ..Event::of(EventKind::SessionEnded)
    })
}
