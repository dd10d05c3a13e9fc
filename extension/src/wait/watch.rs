//! Noticing, while a call waits, that its client has gone.
//!
//! Postgres looks at the connection of a running statement only if `client_connection_check_interval` is set, and by default
//! it isn't. A waiter whose client has died would then keep its place and, in the end, take the lock for nobody. So a
//! wait has an interval of its own, asleep at the head of the line and in the queue behind it alike.

use crate::catch::check_interrupts;
use crate::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;

/// How often a wait looks, unless the session has an interval of its own. Milliseconds.
const INTERVAL: i32 = 1000;

/// While this lives, a client that hangs up ends its session, within [`INTERVAL`].
pub struct Watch {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The interval is ours, to be put back.
    Lent,
    /// The session has an interval of its own.
    Own,
    /// Nobody to look for, or no way to.
    Blind,
}

impl Watch {
    /// Looks at once, and then again and again.
    pub fn begin() -> Result<Watch, Error> {
        // SAFETY: a plain variable of the backend.
        let interval = unsafe { pg_sys::client_connection_check_interval };
        let state = if !can_tell() || sabotage::removed(Guard::Watch) {
            State::Blind
        } else if interval > 0 {
            State::Own
        } else {
            State::Lent
        };
        if state == State::Lent {
            // SAFETY: as above.
            unsafe { pg_sys::client_connection_check_interval = INTERVAL };
        }
        let watch = Watch { state };
        watch.look()?;
        Ok(watch)
    }

    /// Looks now: before a lock is taken for somebody who may have gone a moment ago.
    pub fn look(&self) -> Result<(), Error> {
        if self.state == State::Blind {
            return Ok(());
        }
        // SAFETY: plain variables of the backend. A pending check is what Postgres' own timer leaves behind; answering it
        // arms that timer again while the interval isn't zero, and one that goes off later finds nothing to do.
        unsafe {
            pg_sys::CheckClientConnectionPending = 1;
            pg_sys::InterruptPending = 1;
        }
        check_interrupts()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.state == State::Lent {
            // SAFETY: as above. Zero is what it was, and what the setting still says.
            unsafe { pg_sys::client_connection_check_interval = 0 };
        }
    }
}

/// Whether there is a client, and the system says when it closes its end.
fn can_tell() -> bool {
    // SAFETY: a plain variable of the backend, and a function that only answers what was compiled in.
    unsafe {
        #[cfg(not(feature = "pg14"))]
        let reported = pg_sys::WaitEventSetCanReportClosed();
        #[cfg(feature = "pg14")]
        let reported = cfg!(target_os = "linux");
        reported && !pg_sys::MyProcPort.is_null()
    }
}
