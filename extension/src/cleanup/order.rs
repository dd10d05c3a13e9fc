//! An order for a repair: what a session asks of a process, and what becomes of it, in memory that both see.

use crate::pg::catch::{catching, raw};
use crate::pg::clip::{self, clipped};
use crate::pg::error::Error;
use crate::pg::settings;
use crate::sabotage::{self, Guard};
use pgrx::log;
use pgrx::pg_sys::{self, Datum, Oid};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// What became of one piece of work. All but `Untried` and `Trying` are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// The process did not come to it, or it isn't a dead service's work.
    Untried = 0,
    /// A rule runs on it; or the process has ended while it did.
    Trying = 1,
    /// The rule changed the resource; the row of `workers` is removed.
    Cleaned = 2,
    /// The resource has another status than the work, or is gone; the row of `workers` is removed.
    Stale = 3,
    /// The work waits, and a rule will probably repair it once it is tried again.
    AwaitingSoon = 4,
    /// The work waits: no rule repairs it.
    AwaitingLater = 5,
    /// The work waits: its rule has failed.
    Failed = 6,
    /// The work waits in its queue, to be tried again.
    Retried = 7,
}

impl State {
    fn of(number: u32) -> Self {
        use State::{AwaitingLater, AwaitingSoon, Cleaned, Failed, Retried, Stale, Trying, Untried};
        let all = [Untried, Trying, Cleaned, Stale, AwaitingSoon, AwaitingLater, Failed, Retried];
        all.into_iter().find(|state| *state as u32 == number).unwrap_or(Untried)
    }

    /// The row of the work is gone.
    pub fn is_done(self) -> bool {
        matches!(self, State::Cleaned | State::Stale)
    }
}

/// The first bytes of a segment: the version of the library, and the size of what follows. A process that was started
/// by a session with another library, as during an upgrade, does not read on.
const LAYOUT: u64 = layout(env!("CARGO_PKG_VERSION").as_bytes());

/// FNV-1a, which is simple enough for a constant.
const fn layout(version: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ size_of::<Head>() as u64;
    let mut at = 0;
    while at < version.len() {
        hash = (hash ^ version[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// With the mark of what was clipped.
const LONGEST_REASON: usize = clip::LONGEST + 3;

#[repr(C, align(8))]
struct Head {
    layout: u64,
    database: Oid,
    /// The role whose rules are to run.
    owner: Oid,
    /// The operator who asks for the repair of one piece of work, also if its service lives; zero in a cleanup.
    operator: Oid,
    /// Of one try of a rule.
    limit_ms: u32,
    count: u32,
    /// The process has begun.
    started: AtomicBool,
    /// It had no time for all.
    unfinished: AtomicBool,
    /// Why an operator's work is left: so many bytes, and these.
    reason_length: AtomicU32,
    reason: [u8; LONGEST_REASON],
    test: sabotage::Passed,
}

#[repr(C)]
struct Entry {
    token: i64,
    state: AtomicU32,
}

/// An order, as long as this process has its memory mapped.
pub struct Order {
    segment: NonNull<pg_sys::dsm_segment>,
}

impl Order {
    /// An order of this session; an operator may ask for one piece of work, whose service may live. The memory is given
    /// back with the value, at the end of the transaction at the latest. `None` if there is no room for it.
    pub fn new(owner: Oid, operator: Option<Oid>, mut tokens: Vec<i64>) -> Result<Option<Order>, Error> {
        // In order, to be found.
        tokens.sort_unstable();
        let size = size_of::<Head>() + tokens.len() * size_of::<Entry>();
        // SAFETY: a new segment of that size, which is aligned for any type. No other process knows it yet. The closure
        // owns nothing; what an error has left of the segment goes at the end of the transaction.
        unsafe {
            let flags = pg_sys::DSM_CREATE_NULL_IF_MAXSEGMENTS as i32;
            let segment = match catching(|| raw::dsm_create(size, flags)) {
                Err(Error::Postgres(error)) if error.sqlstate().starts_with(b"53") => return Ok(None),
                created => created?,
            };
            let Some(segment) = NonNull::new(segment) else { return Ok(None) };
            let order = Order { segment };
            order.head().write(Head {
                layout: LAYOUT,
                database: pg_sys::MyDatabaseId,
                owner,
                operator: operator.unwrap_or(Oid::INVALID),
                limit_ms: settings::rule_timeout().as_millis() as u32,
                count: tokens.len() as u32,
                started: AtomicBool::new(false),
                unfinished: AtomicBool::new(false),
                reason_length: AtomicU32::new(0),
                reason: [0; LONGEST_REASON],
                test: sabotage::pass(),
            });
            for (at, token) in tokens.iter().enumerate() {
                let entry = Entry { token: *token, state: AtomicU32::new(State::Untried as u32) };
                order.entries_start().add(at).write(entry);
            }
            Ok(Some(order))
        }
    }

    /// What the process is started with.
    pub fn handle(&self) -> Datum {
        // SAFETY: a segment that is mapped.
        Datum::from(unsafe { pg_sys::dsm_segment_handle(self.segment.as_ptr()) })
    }

    /// The order that a process was started with; `None` if the session has given it up, or has another version.
    pub fn attach(handle: Datum) -> Option<Order> {
        // SAFETY: the handle is that of a segment which `new` has made. Without a transaction the mapping lasts.
        let segment = unsafe { pg_sys::dsm_attach(handle.value() as u32) };
        let order = Order { segment: NonNull::new(segment)? };
        // SAFETY: a segment that is mapped; its size is looked at before it is read.
        let is_whole = unsafe {
            let size = pg_sys::dsm_segment_map_length(order.segment.as_ptr());
            size >= size_of::<Head>()
                && (*order.head()).layout == LAYOUT
                && size >= size_of::<Head>() + (*order.head()).count as usize * size_of::<Entry>()
        };
        if !is_whole {
            log!(
                "volguard: a session that still has another library of volguard asks for a repair; it has to connect again"
            );
            return None;
        }
        Some(order)
    }

    pub fn database(&self) -> Oid {
        // SAFETY: written before the process was started.
        unsafe { (*self.head()).database }
    }

    pub fn owner(&self) -> Oid {
        // SAFETY: as above.
        unsafe { (*self.head()).owner }
    }

    /// The operator whose order it is.
    pub fn operator(&self) -> Option<Oid> {
        // SAFETY: as above.
        let operator = unsafe { (*self.head()).operator };
        (operator != Oid::INVALID).then_some(operator)
    }

    /// Whether it is also about work of services that aren't fenced.
    pub fn of_the_living(&self) -> bool {
        self.operator().is_some() || sabotage::removed(Guard::DeadHolder)
    }

    pub fn limit(&self) -> Duration {
        // SAFETY: as above.
        Duration::from_millis(unsafe { (*self.head()).limit_ms }.into())
    }

    pub fn test(&self) -> sabotage::Passed {
        // SAFETY: as above.
        unsafe { (*self.head()).test }
    }

    pub fn tokens(&self) -> Vec<i64> {
        self.entries().iter().map(|entry| entry.token).collect()
    }

    pub fn states(&self) -> HashMap<i64, State> {
        self.entries().iter().map(|entry| (entry.token, State::of(entry.state.load(Ordering::Acquire)))).collect()
    }

    pub fn set(&self, token: i64, state: State) {
        let entries = self.entries();
        if let Ok(at) = entries.binary_search_by_key(&token, |entry| entry.token) {
            entries[at].state.store(state as u32, Ordering::Release);
        }
    }

    pub fn set_unfinished(&self) {
        // SAFETY: as above; the field is atomic.
        unsafe { &(*self.head()).unfinished }.store(true, Ordering::Release);
    }

    pub fn set_started(&self) {
        // SAFETY: as above.
        unsafe { &(*self.head()).started }.store(true, Ordering::Release);
    }

    pub fn is_started(&self) -> bool {
        // SAFETY: as above.
        unsafe { &(*self.head()).started }.load(Ordering::Acquire)
    }

    pub fn is_unfinished(&self) -> bool {
        // SAFETY: as above.
        unsafe { &(*self.head()).unfinished }.load(Ordering::Acquire)
    }

    /// Says why the work of an operator's order is left. The first reason counts.
    pub fn explain(&self, reason: &str) {
        let reason = clipped(reason);
        // SAFETY: the text fits. The process writes it once; the session reads what the length says, which comes after.
        unsafe {
            let head = self.head();
            let length = &(*head).reason_length;
            if length.load(Ordering::Acquire) == 0 {
                (&raw mut (*head).reason).cast::<u8>().copy_from_nonoverlapping(reason.as_ptr(), reason.len());
                length.store(reason.len() as u32, Ordering::Release);
            }
        }
    }

    /// What the process has explained.
    pub fn reason(&self) -> Option<String> {
        // SAFETY: as above.
        let reason = unsafe {
            let length = (*self.head()).reason_length.load(Ordering::Acquire) as usize;
            std::slice::from_raw_parts((&raw const (*self.head()).reason).cast::<u8>(), length.min(LONGEST_REASON))
        };
        (!reason.is_empty()).then(|| String::from_utf8_lossy(reason).into_owned())
    }

    fn head(&self) -> *mut Head {
        // SAFETY: a segment that is mapped.
        unsafe { pg_sys::dsm_segment_address(self.segment.as_ptr()).cast() }
    }

    fn entries_start(&self) -> *mut Entry {
        // SAFETY: the entries follow the head, whose size is a multiple of their alignment.
        unsafe { self.head().add(1).cast() }
    }

    fn entries(&self) -> &[Entry] {
        // SAFETY: as many as the head says; only their states change, which are atomic.
        unsafe { std::slice::from_raw_parts(self.entries_start(), (*self.head()).count as usize) }
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        // SAFETY: mapped by this value, and not used any more.
        unsafe { pg_sys::dsm_detach(self.segment.as_ptr()) };
    }
}
