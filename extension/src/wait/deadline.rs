//! The end of a call's wait, and lock waits that end by then.

use super::client::{self, ConnectionCheck};
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::overrides::Overrides;
use pgrx::pg_sys;
use std::time::{Duration, Instant};

/// The SQLSTATE of Postgres' lock timeout.
const LOCK_NOT_AVAILABLE: [u8; 5] = *b"55P03";

/// Zero would be no limit.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);

/// The end of a wait, on the server's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// `None` for a wait of zero: the call must not block.
    end: Option<Instant>,
    /// When the session's `lock_timeout` is over, if it has one.
    lock_timeout: Option<Instant>,
}

impl Deadline {
    /// Starts now. A wait is a century at most: the clock's range ends somewhere.
    pub fn after(wait: Duration) -> Self {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let now = Instant::now();
        // SAFETY: a plain variable of the backend.
        let lock_timeout = unsafe { pg_sys::LockTimeout };
        Deadline {
            end: (!wait.is_zero()).then(|| now + wait.min(CENTURY)),
            lock_timeout: (lock_timeout > 0).then(|| now + Duration::from_millis(lock_timeout as u64)),
        }
    }

    pub fn may_wait(&self) -> bool {
        self.end.is_some()
    }

    /// The time left; zero when it is over.
    pub fn left(&self) -> Duration {
        self.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }

    /// How long to sleep at most. Fails when `lock_timeout` is over: to Postgres the sleep is no lock wait, to the
    /// caller it is one.
    pub fn sleep(&self) -> Result<Duration, Error> {
        let left = self.left();
        let Some(timeout) = self.lock_timeout else {
            return Ok(left);
        };
        let until_timeout = timeout.saturating_duration_since(Instant::now());
        if until_timeout.is_zero() && !left.is_zero() {
            return Err(Error::LockTimeout);
        }
        Ok(left.min(until_timeout))
    }

    /// Runs `body` with each lock wait in it bounded by the time left; `None` if the time ran out. Ends the session if
    /// its client closes the connection meanwhile.
    pub fn bound<T>(&self, body: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        let left = self.left();
        if left.is_zero() {
            return Ok(None);
        }
        let checking = ConnectionCheck::begin()?;
        let result = self.attempt(left, || body().map(Some))?;
        drop(checking);
        client::check()?;
        Ok(result)
    }

    /// Runs `body` in a subtransaction, with each lock wait in it bounded by `most`. The subtransaction is undone if
    /// `body` returns `None`, or if a lock wait took too long, which is `None` as well.
    ///
    /// The session's own `lock_timeout` still counts, from the start of the call: if it is over first, that is an
    /// error.
    pub fn attempt<T>(
        &self,
        most: Duration,
        body: impl FnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let own = self.lock_timeout.map(|at| at.saturating_duration_since(Instant::now()));
        let is_own = own.is_some_and(|own| own <= most);
        let limit = own.map_or(most, |own| own.min(most)).max(SHORTEST_TIMEOUT);
        let _timeout = Overrides::keeping_others().set_time(c"lock_timeout", limit);
        match attempt(body) {
            Err(Error::Postgres(error)) if error.sqlstate() == LOCK_NOT_AVAILABLE => match is_own {
                true => Err(Error::LockTimeout),
                false => Ok(None),
            },
            result => result,
        }
    }
}
