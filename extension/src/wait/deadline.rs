//! How long a call may wait, and lock waits that end by then.

use super::client::{self, Watch};
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use pgrx::pg_sys;
use std::ptr;
use std::time::{Duration, Instant};

/// SQLSTATE of Postgres' own lock timeout.
const LOCK_NOT_AVAILABLE: [u8; 5] = *b"55P03";

/// The end of a wait, on the server's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// `None` for a wait of zero: nothing may block.
    end: Option<Instant>,
    /// When the caller's own `lock_timeout` strikes, if it has one.
    lock_timeout: Option<Instant>,
}

impl Deadline {
    /// Starts now. A wait that ends beyond the clock's range ends in a century.
    pub fn after(wait: Duration) -> Self {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let now = Instant::now();
        // SAFETY: a plain variable of the backend.
        let lock_timeout = unsafe { pg_sys::LockTimeout };
        Deadline {
            end: (!wait.is_zero()).then(|| now + wait.min(CENTURY)),
            lock_timeout: (lock_timeout > 0)
                .then(|| now + Duration::from_millis(lock_timeout as u64)),
        }
    }

    pub fn may_wait(&self) -> bool {
        self.end.is_some()
    }

    /// What is left; zero when it is over.
    pub fn left(&self) -> Duration {
        self.end.map_or(Duration::ZERO, |end| {
            end.saturating_duration_since(Instant::now())
        })
    }

    /// For a sleep that is no lock wait in Postgres' eyes but is one in the caller's: fails when `lock_timeout` is over,
    /// and says otherwise how long to sleep at most.
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

    /// Runs `body` with every lock wait in it bounded by the time left; `None` if that ran out. Ends the session if its client
    /// goes meanwhile.
    pub fn bound<T>(&self, body: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
        let left = self.left();
        if left.is_zero() {
            return Ok(None);
        }
        let watch = Watch::begin()?;
        let result = self.attempt(left, || body().map(Some))?;
        drop(watch);
        client::check()?;
        Ok(result)
    }

    /// Runs `body` with each lock wait in it bounded by `most`. What it did is undone if it returns none, or if a lock
    /// wait took too long, which is `None` as well.
    ///
    /// The caller's own `lock_timeout` still counts: when it is the shorter one it raises, as everywhere else.
    pub fn attempt<T>(
        &self,
        most: Duration,
        body: impl FnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let own = self
            .lock_timeout
            .map(|at| at.saturating_duration_since(Instant::now()));
        if own.is_some_and(|own| own <= most) {
            return attempt(body);
        }
        let _timeout = LockTimeout::set(most);
        match attempt(body) {
            Err(Error::Postgres(error)) if error.sqlstate() == LOCK_NOT_AVAILABLE => Ok(None),
            result => result,
        }
    }
}

/// The backend's `lock_timeout` is another one while this lives.
struct LockTimeout(i32);

impl LockTimeout {
    fn set(timeout: Duration) -> Self {
        let millis = i32::try_from(timeout.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        // SAFETY: a plain variable of the backend, read when a lock wait starts. Drop puts it back, also when a
        // panic unwinds, so that the setting and the variable agree again.
        let before = unsafe { ptr::replace(&raw mut pg_sys::LockTimeout, millis) };
        LockTimeout(before)
    }
}

impl Drop for LockTimeout {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::LockTimeout = self.0 };
    }
}
