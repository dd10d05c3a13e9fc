//! The clock of leases, which continues while the machine is suspended.
//!
//! The runtime's clock is `CLOCK_MONOTONIC`, which stops during a suspension while the server's clock continues. So a
//! moment is kept on that clock and on `CLOCK_BOOTTIME`, and has passed when it has passed on either.

use std::time::Duration;
use tokio::time::Instant;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// On the runtime's clock: right unless the machine is suspended before.
    pub(crate) awake: Instant,
    /// Time since boot; unknown where that clock doesn't exist.
    since_boot: Option<Duration>,
}

impl Moment {
    pub(crate) fn now() -> Moment {
        Moment { awake: Instant::now(), since_boot: boottime() }
    }

    pub(super) fn after(self, time: Duration) -> Moment {
        Moment { awake: self.awake + time, since_boot: self.since_boot.map(|at| at + time) }
    }

    pub(super) fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// How long it is until then, on the clock that is there first.
    pub(super) fn left(self) -> Duration {
        let awake = self.awake.saturating_duration_since(Instant::now());
        let boot = self.since_boot.zip(boottime()).map(|(at, now)| at.saturating_sub(now));
        boot.map_or(awake, |boot| boot.min(awake))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boottime() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    #[cfg(test)]
    let now = now + SUSPENDED.get();
    Some(now)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boottime() -> Option<Duration> {
    None
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
thread_local! {
    /// A simulated suspension of this thread: `CLOCK_BOOTTIME` has continued, `CLOCK_MONOTONIC` hasn't.
    pub(super) static SUSPENDED: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}
