//! What the status entries of other sessions say: their state, and the notes of waiting calls.
//!
//! Postgres' own functions give a copy of all entries that lasts until the transaction ends, and take no command number
//! that isn't Postgres'. So one entry is read here, as it is now, by the protocol of `backend_status.h`: it is valid if
//! its change count is even, and the same before and after.

use super::note::Note;
use super::seat;
use pgrx::pg_sys::{self, Oid, PgBackendStatus};
use std::sync::atomic::{Ordering, fence};

/// How often an entry is read that is written at the same time. A writer is done within some instructions.
const TRIES: u32 = 1000;

/// A session at this moment.
#[derive(Debug)]
pub struct Session {
    pub role: Oid,
    pub state: State,
    /// In microseconds.
    pub state_since: i64,
    pub note: Option<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Idle,
    IdleInTransaction,
    /// Idle in a transaction that has failed.
    IdleAborted,
    Active,
    /// `track_activities` is off there.
    Unknown,
}

impl State {
    /// As Postgres' views call it.
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::IdleInTransaction => "idle in transaction",
            State::IdleAborted => "idle in transaction (aborted)",
            State::Active => "active",
            State::Unknown => "unknown",
        }
    }

    pub fn is_idle_in_transaction(self) -> bool {
        matches!(self, State::IdleInTransaction | State::IdleAborted)
    }

    fn of(state: pg_sys::BackendState::Type) -> Self {
        use pg_sys::BackendState::{
            STATE_FASTPATH, STATE_IDLE, STATE_IDLEINTRANSACTION, STATE_IDLEINTRANSACTION_ABORTED, STATE_RUNNING,
        };
        match state {
            STATE_IDLE => State::Idle,
            STATE_RUNNING | STATE_FASTPATH => State::Active,
            STATE_IDLEINTRANSACTION => State::IdleInTransaction,
            STATE_IDLEINTRANSACTION_ABORTED => State::IdleAborted,
            _ => State::Unknown,
        }
    }
}

impl Session {
    /// The session with a number, counted from 0, if the process serves it, and this database.
    pub fn of(number: i32, pid: i32) -> Option<Self> {
        let entry = entry(number)?;
        (0..TRIES).find_map(|_| read(entry, pid)).flatten()
    }
}

/// The entry of a session by its number.
fn entry(number: i32) -> Option<*const PgBackendStatus> {
    let own = isize::try_from(seat::session_number()).ok()?;
    let number = isize::try_from(number).ok()?;
    // SAFETY: plain variables of the backend, set when it started. The entries of all sessions are one array, in the
    // order of their numbers, of which there are MaxBackends; the sum stays within it.
    unsafe {
        let inside = (0..pg_sys::MaxBackends as isize).contains(&number) && !pg_sys::MyBEEntry.is_null();
        inside.then(|| pg_sys::MyBEEntry.cast_const().offset(number - own))
    }
}

/// `None` if the entry is being written; else the session, if the entry is that of the process.
fn read(entry: *const PgBackendStatus, pid: i32) -> Option<Option<Session>> {
    // SAFETY: an entry of the array in shared memory, which stays mapped. What another process writes meanwhile is read
    // as volatile, and dropped if the count has changed.
    unsafe {
        let before = (&raw const (*entry).st_changecount).read_volatile();
        fence(Ordering::Acquire);
        let owner = (&raw const (*entry).st_procpid).read_volatile();
        let database = (&raw const (*entry).st_databaseid).read_volatile();
        let role = (&raw const (*entry).st_userid).read_volatile();
        let state = (&raw const (*entry).st_state).read_volatile();
        let state_since = (&raw const (*entry).st_state_start_timestamp).read_volatile();
        let command = (&raw const (*entry).st_progress_command).read_volatile();
        let parameters = (&raw const (*entry).st_progress_param).read_volatile();
        fence(Ordering::Acquire);
        let after = (&raw const (*entry).st_changecount).read_volatile();
        if before != after || before % 2 != 0 {
            return None;
        }
        let found = owner == pid && database == pg_sys::MyDatabaseId;
        Some(found.then(|| Session {
            role,
            state: State::of(state),
            state_since,
            note: Note::read(command, &parameters),
        }))
    }
}
