//! Notices, while a call waits, that its client has closed the connection.
//!
//! Postgres checks the connection of a running statement only if `client_connection_check_interval` is set, and by
//! default it isn't. A call whose client has died would keep its place in the queue, and in the end take a lock that is
//! of no use. So the head of a queue [checks](check) after each sleep. A wait for a lock of Postgres runs under a
//! [`ConnectionCheck`], and ends with a check.

use crate::pg::catch::{catching, check_interrupts, raw};
use crate::pg::error::Error;
use crate::pg::overrides::Overrides;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::time::Duration;

/// How often the connection is checked, unless the session has set an interval.
const INTERVAL: Duration = Duration::from_secs(1);

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
    _interval: Option<Overrides>,
}

impl ConnectionCheck {
    pub fn begin() -> Result<Self, Error> {
        // SAFETY: a plain variable of the backend.
        let sets_interval = unsafe { pg_sys::client_connection_check_interval == 0 } && can_tell();
        if !sets_interval {
            return Ok(ConnectionCheck { _interval: None });
        }
        let interval = Overrides::begin().set_time(c"client_connection_check_interval", INTERVAL);
        // SAFETY: as above. Postgres' own timer leaves a pending check, whose handling starts the timer again while the
        // interval isn't zero. A timer that fires later finds an interval of zero and does nothing.
        unsafe {
            pg_sys::CheckClientConnectionPending = 1;
            pg_sys::InterruptPending = 1;
        }
        check_interrupts()?;
        Ok(ConnectionCheck { _interval: Some(interval) })
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
