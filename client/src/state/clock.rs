//! The clock of leases, which continues while the machine is suspended.
//!
//! The runtime's clock is `CLOCK_MONOTONIC`, which stops during a suspension while the server's clock continues. So a
//! moment is kept on that clock and on `CLOCK_BOOTTIME`, and has passed when it has passed on either. The wall clock is
//! never used.

use std::time::Duration;

use tokio::time::Instant;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    awake: Instant,
    /// Time since boot; unknown where that clock doesn't exist.
    since_boot: Option<Duration>,
}

impl Moment {
    pub(crate) fn now() -> Moment {
        Moment { awake: Instant::now(), since_boot: boottime::now() }
    }

    pub(super) fn checked_add(self, time: Duration) -> Option<Moment> {
        Some(Moment {
            awake: self.awake.checked_add(time)?,
            since_boot: match self.since_boot {
                Some(since_boot) => Some(since_boot.checked_add(time)?),
                None => None,
            },
        })
    }

    pub(super) fn has_passed(self) -> bool {
        Instant::now() >= self.awake || matches!((self.since_boot, boottime::now()), (Some(at), Some(now)) if now >= at)
    }

    /// The moment on the runtime's clock: right unless the machine is suspended before.
    pub(crate) fn awake(self) -> Instant {
        self.awake
    }

    /// How long it is until then, on the clock that is there first.
    pub(super) fn left(self) -> Duration {
        let awake = self.awake.saturating_duration_since(Instant::now());
        match (self.since_boot, boottime::now()) {
            (Some(at), Some(now)) => awake.min(at.saturating_sub(now)),
            _ => awake,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod boottime {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn now() -> Option<Duration> {
        let time = clock_gettime(ClockId::Boottime);
        let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
        let now = Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds);
        #[cfg(test)]
        let now = now + super::tests::suspended();
        Some(now)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod boottime {
    use std::time::Duration;

    pub(super) fn now() -> Option<Duration> {
        None
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static SUSPENDED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Simulates a suspension for this thread: `CLOCK_BOOTTIME` continues, `CLOCK_MONOTONIC` doesn't.
    pub(crate) fn suspend(time: Duration) {
        SUSPENDED.set(SUSPENDED.get() + time);
    }

    pub(super) fn suspended() -> Duration {
        SUSPENDED.get()
    }

    #[test]
    fn a_suspension_counts() {
        let moment = Moment::now().checked_add(Duration::from_secs(60)).unwrap();
        assert!(!moment.has_passed() && moment.left() > Duration::ZERO);
        suspend(Duration::from_secs(60));
        assert!(moment.has_passed() && moment.left().is_zero() && Instant::now() < moment.awake());
    }
}
