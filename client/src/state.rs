//! What all parts of a session share, and what keeps it alive.

mod clock;
mod core;
mod guarded;
mod heartbeat;
mod lease;
mod lease_watchdog;

pub(crate) use self::clock::Moment;
pub(crate) use self::core::Core;
pub(crate) use self::heartbeat::Heartbeat;
pub(crate) use self::lease::Lease;
pub(crate) use self::lease_watchdog::keep;
