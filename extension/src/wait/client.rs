//! Notices, while a call waits, that its client has closed the connection.
//!
//! Postgres checks the connection of a running statement only if `client_connection_check_interval` is set, and by
//! default it isn't. A call whose client has died would keep its place in the queue, and in the end take a lock that is
//! of no use. So the head of a queue [checks](check) after each sleep. A wait for a lock of Postgres runs under a
//! [`ConnectionCheck`], and ends with a check.

use crate::pg::catch::{catching, check_interrupts, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;

/// How often the connection is checked, unless the session has set an interval. Milliseconds.
const INTERVAL: i32 = 1000;

/// Ends the session, as Postgres would, if its client has closed the connection.
pub fn check() -> Result<(), Error> {
    if !can_tell() {
        return Ok(());
    }
    // SAFETY: there is a connection; the closure owns nothing.
    if unsafe { catching(|| raw::pq_check_connection())? } {
        return Ok(());
    }
    // SAFETY: plain variables of the backend, set as Postgres' own check sets them.
    unsafe {
        pg_sys::ClientConnectionLost = 1;
        pg_sys::InterruptPending = 1;
    }
    check_interrupts()
}

/// While this lives, the session ends within [`INTERVAL`] after its client has closed the connection.
pub struct ConnectionCheck {
    sets_interval: bool,
}

impl ConnectionCheck {
    pub fn begin() -> Result<Self, Error> {
        // SAFETY: a plain variable of the backend.
        let sets_interval = unsafe { pg_sys::client_connection_check_interval == 0 } && can_tell();
        // Before check_interrupts may fail, so that Drop resets the interval.
        let checking = ConnectionCheck { sets_interval };
        if sets_interval {
            // SAFETY: as above. Postgres' own timer leaves a pending check, whose handling starts the timer again while
            // the interval isn't zero. A timer that fires later finds an interval of zero and does nothing.
            unsafe {
                pg_sys::client_connection_check_interval = INTERVAL;
                pg_sys::CheckClientConnectionPending = 1;
                pg_sys::InterruptPending = 1;
            }
            check_interrupts()?;
        }
        Ok(checking)
    }
}

impl Drop for ConnectionCheck {
    fn drop(&mut self) {
        if self.sets_interval {
            // SAFETY: as above. Zero was the value before, and is still that of the setting.
            unsafe { pg_sys::client_connection_check_interval = 0 };
        }
    }
}

/// Whether there is a client, and the system reports when it closes the connection.
fn can_tell() -> bool {
    if sabotage::removed(Guard::ConnectionCheck) {
        return false;
    }
    // SAFETY: a plain variable of the backend, and a function that returns what was compiled in.
    unsafe { pg_sys::WaitEventSetCanReportClosed() && !pg_sys::MyProcPort.is_null() }
}
