//! The seats of waiting calls: a limit to how many connections are kept busy by waiting.
//!
//! A waiter keeps its connection, and the release that it waits for needs one too. A seat is a lock with its number,
//! taken by try-lock: no table, no shared memory, and it goes with its session.

use super::tag::{Mode, Tag, TagKind};
use crate::pg::error::Error;
use crate::pg::settings;
use pgrx::pg_sys;

/// A seat of the server.
#[derive(Debug)]
pub struct Seat(Tag);

impl Seat {
    /// A free one, if there is one. Each session begins to look at its own number, so that the first one is mostly
    /// free.
    pub fn take() -> Result<Self, Error> {
        let seats = settings::max_waiters();
        let own = session_number();
        for place in 0..seats {
            let seat = Tag::of_server(TagKind::Seat, own.wrapping_add(place) % seats);
            if seat.try_lock(Mode::Exclusive)? {
                return Ok(Seat(seat));
            }
        }
        Err(Error::TooManyWaiters(seats))
    }

    /// After an error the seat goes with the transaction, or the savepoint.
    pub fn leave(self) {
        self.0.unlock(Mode::Exclusive);
    }
}

/// A number that no other session has at this time.
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
pub fn session_number() -> u64 {
    // SAFETY: a plain variable of the backend. The numbers begin with 1.
    u64::from((unsafe { pg_sys::MyBackendId } - 1).unsigned_abs())
}

#[cfg(any(feature = "pg17", feature = "pg18"))]
pub fn session_number() -> u64 {
    // SAFETY: a plain variable of the backend. The numbers begin with 0.
    u64::from(unsafe { pg_sys::MyProcNumber }.unsigned_abs())
}
