//! The calls that wait at this moment, and their places in the queues.

use super::sentence::{age, short, span};
use crate::pg::error::Error;
use crate::pg::export::{export_readers, passing_verb};
use crate::pg::owner;
use crate::wait::WaitQueue;
use crate::wait::lock_table::{self, Entry};
use crate::wait::note::Note;
use crate::wait::sessions::Session;
use crate::wait::tag::TagKind;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_extern;
use std::cmp::Reverse;

/// A call that waits.
pub struct Waiter {
    pub pid: i32,
    pub role: String,
    pub waits_for: WaitsFor,
    /// The number of the lock that it waits for, or heads.
    pub number: u64,
    pub service_id: i64,
    pub since: i64,
    /// resource_type, resource_id, lock_name; `None` if the session can't show them.
    pub names: Option<[String; 3]>,
    pub clipped: bool,
    /// Counted from 1, without sessions in front that don't wait.
    pub place: i32,
    /// A session in front that doesn't wait: its transaction has taken the lock, or is about to.
    pub behind: Option<InFront>,
}

/// A session in front of the waiters. It has no process if the transaction is prepared.
#[derive(Clone)]
pub struct InFront {
    pub pid: i32,
    pub session: Option<(String, &'static str, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    Lock,
    WorkSlot,
    ServiceLock,
    /// The row of the resource in the user's table: the call has its turn.
    Row,
    /// Work that is submitted, of a type and operations.
    Work,
}

impl WaitsFor {
    const ALL: [(WaitsFor, TagKind); 4] = [
        (WaitsFor::Lock, TagKind::Queue),
        (WaitsFor::WorkSlot, TagKind::WorkQueue),
        (WaitsFor::ServiceLock, TagKind::ServiceLock),
        (WaitsFor::Work, TagKind::Bell),
    ];

    fn of(kind: u16) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(what, tag)| (tag as u16 == kind).then_some(what))
    }

    /// That of the lock that such a call waits for, or heads.
    pub fn kind(self) -> u16 {
        if self == WaitsFor::Row {
            return TagKind::Queue as u16;
        }
        let (_, tag) = Self::ALL.into_iter().find(|(what, _)| *what == self).expect("one of all");
        tag as u16
    }

    fn name(self) -> &'static str {
        match self {
            WaitsFor::Lock => "lock",
            WaitsFor::WorkSlot => "work slot",
            WaitsFor::ServiceLock => "service lock",
            WaitsFor::Row => "row",
            WaitsFor::Work => "work",
        }
    }
}

impl InFront {
    /// The session, for a sentence.
    pub fn describe(&self) -> String {
        match &self.session {
            Some((role, state, since)) => {
                format!("Session {} of role {} ({state} for {})", self.pid, short(role), span(age(*since)))
            }
            None => format!("Session {}, which has just ended,", self.pid),
        }
    }

    /// What its entry says now.
    pub fn of(entry: &Entry) -> Self {
        let session = Session::of(entry.transaction.0, entry.pid);
        let read = |session: Session| (owner::name(session.role), session.state.name(), session.state_since);
        InFront { pid: entry.pid, session: session.map(read) }
    }
}

/// All of this database, by queue and place.
pub fn waiters() -> Result<Vec<Waiter>, Error> {
    let table = lock_table::entries()?;
    let mut sessions: Vec<(i32, i32)> = table.iter().map(|entry| (entry.transaction.0, entry.pid)).collect();
    sessions.sort_unstable();
    sessions.dedup();
    let mut waiters: Vec<Waiter> = Vec::new();
    for (number, pid) in sessions {
        let Some(session) = Session::of(number, pid) else { continue };
        let own: Vec<&Entry> = table.iter().filter(|entry| entry.pid == pid).collect();
        // A note without its lock is one of a wait that has ended, or has not begun.
        let noted = session.note.filter(|note| own.iter().any(|entry| entry.is_same_lock(note.kind, note.number)));
        waiters.extend(noted.or_else(|| marked(&own)).and_then(|note| {
            Some(Waiter {
                pid,
                role: owner::name(session.role),
                waits_for: if note.for_row { WaitsFor::Row } else { WaitsFor::of(note.kind)? },
                number: note.number,
                service_id: note.service_id,
                since: note.since,
                names: (!note.names[0].is_empty()).then_some(note.names),
                clipped: note.clipped,
                place: 0,
                behind: None,
            })
        }));
    }
    line_up(&mut waiters, &table);
    Ok(waiters)
}

/// The same as a note, from the markers of a session that can't show one.
fn marked(own: &[&Entry]) -> Option<Note> {
    let number = |kind| own.iter().find(|entry| entry.is_of(kind)).map(|entry| entry.number);
    let waits_for = number(TagKind::WaitingFor)?;
    let lock = own.iter().find(|entry| entry.number == waits_for && WaitsFor::of(entry.kind).is_some())?;
    Some(Note {
        kind: lock.kind,
        number: waits_for,
        service_id: number(TagKind::WaitingService)?.cast_signed(),
        since: number(TagKind::WaitingSince)?.cast_signed(),
        names: [const { String::new() }; 3],
        clipped: true,
        for_row: false,
    })
}

/// Sets the places, and who is in front.
fn line_up(waiters: &mut [Waiter], table: &[Entry]) {
    let turn = |waiter: &Waiter| {
        let same =
            |entry: &&Entry| entry.pid == waiter.pid && entry.is_same_lock(waiter.waits_for.kind(), waiter.number);
        let entry = table.iter().find(same);
        // The head of a queue holds it.
        (Reverse(entry.is_some_and(|entry| entry.waits_since.is_none())), entry.and_then(|entry| entry.waits_since))
    };
    waiters.sort_by_cached_key(|waiter| (waiter.waits_for.kind(), waiter.number, turn(waiter), waiter.pid));
    let lock = |waiter: &Waiter| (waiter.waits_for.kind(), waiter.number);
    for line in waiters.chunk_by_mut(|one, other| lock(one) == lock(other)) {
        let pids: Vec<i32> = line.iter().map(|waiter| waiter.pid).collect();
        let in_front = table.iter().find(|entry| {
            entry.holds_exclusive
                && entry.is_same_lock(line[0].waits_for.kind(), line[0].number)
                && !pids.contains(&entry.pid)
        });
        for (place, waiter) in (1..).zip(line) {
            waiter.place = place;
            waiter.behind = in_front.map(InFront::of);
        }
    }
}

#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the SQL interface")]
fn waiting() -> TableIterator<
    'static,
    (
        pgrx::name!(pid, i32),
        pgrx::name!(role, String),
        pgrx::name!(waits_for, &'static str),
        pgrx::name!(queue, i64),
        pgrx::name!(place, i32),
        pgrx::name!(service_id, i64),
        pgrx::name!(resource_type, Option<String>),
        pgrx::name!(resource_id, Option<String>),
        pgrx::name!(lock_name, Option<String>),
        pgrx::name!(clipped, bool),
        pgrx::name!(since, Option<TimestampWithTimeZone>),
        pgrx::name!(behind_pid, Option<i32>),
        pgrx::name!(behind_state, Option<&'static str>),
    ),
> {
    TableIterator::new(passing_verb(Vec::new(), waiters).into_iter().map(|waiter| {
        let mut names = waiter.names.map_or([None, None, None], |names| names.map(Some));
        if waiter.waits_for == WaitsFor::Work {
            // Its names are a type, or none, and operations.
            names = [names[0].take().filter(|name| !name.is_empty()), None, None];
        }
        let [resource_type, resource_id, lock_name] = names;
        (
            waiter.pid,
            waiter.role,
            waiter.waits_for.name(),
            waiter.number.cast_signed(),
            waiter.place,
            waiter.service_id,
            resource_type,
            resource_id,
            lock_name,
            waiter.clipped,
            TimestampWithTimeZone::try_from(waiter.since).ok(),
            waiter.behind.as_ref().map(|front| front.pid),
            waiter.behind.and_then(|front| front.session).map(|(_, state, _)| state),
        )
    }))
}

/// Without a name of a lock, the queue of the work slot.
#[pg_extern(sql = false)]
fn wait_queue(resource_type: Option<&str>, resource_id: Option<&str>, lock_name: Option<&str>) -> Option<i64> {
    let queue = match lock_name {
        Some(lock_name) => WaitQueue::of_key(resource_type?, resource_id?, lock_name),
        None => WaitQueue::of_work(resource_type?, resource_id?),
    };
    Some(queue.tag().number().cast_signed())
}

export_readers! {
    volguard_waiting, pg_finfo_volguard_waiting => waiting_wrapper;
    volguard_wait_queue, pg_finfo_volguard_wait_queue => wait_queue_wrapper;
}
