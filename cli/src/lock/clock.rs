//! The clock that goes on while the machine is suspended.

use std::time::Duration;

/// A moment of `CLOCK_BOOTTIME`, in nanoseconds since boot.
pub(super) type Nanos = u64;

pub(super) fn now() -> Nanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

pub(super) fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}
