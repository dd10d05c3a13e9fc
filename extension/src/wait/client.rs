//! Noticing, while a call waits, that its client has gone.
//!
//! Postgres looks at the connection of a running statement only if `client_connection_check_interval` is set, and by default
//! it isn't. A waiter whose client has died would then keep its place and, in the end, take the lock for nobody. So the
//! head [checks](check) whenever it has slept, and whoever waits for a lock of Postgres does so under a [`Watch`] and looks when it
//! has it.

use crate::pg::catch::{catching, check_interrupts, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;

/// How often a watch looks, unless the session has an interval of its own. Milliseconds.
const INTERVAL: i32 = 1000;

/// Ends the session, as Postgres would, if its client has hung up.
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

/// While this lives, a client that hangs up ends its session, within [`INTERVAL`].
pub struct Watch {
    lent: bool,
}

impl Watch {
    pub fn begin() -> Result<Watch, Error> {
        // SAFETY: a plain variable of the backend.
        let lent = unsafe { pg_sys::client_connection_check_interval == 0 } && can_tell();
        let watch = Watch { lent };
        if lent {
            // SAFETY: as above. A pending check is what Postgres' own timer leaves behind; answering it arms that timer
            // again while the interval isn't zero, and one that goes off later finds nothing to do.
            unsafe {
                pg_sys::client_connection_check_interval = INTERVAL;
                pg_sys::CheckClientConnectionPending = 1;
                pg_sys::InterruptPending = 1;
            }
            check_interrupts()?;
        }
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.lent {
            // SAFETY: as above. Zero is what it was, and what the setting still says.
            unsafe { pg_sys::client_connection_check_interval = 0 };
        }
    }
}

/// Whether there is a client, and the system says when it closes its end.
fn can_tell() -> bool {
    if sabotage::removed(Guard::Watch) {
        return false;
    }
    // SAFETY: a plain variable of the backend, and a function that only answers what was compiled in.
    unsafe { pg_sys::WaitEventSetCanReportClosed() && !pg_sys::MyProcPort.is_null() }
}
