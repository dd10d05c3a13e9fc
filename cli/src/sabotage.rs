//! Guards of `volguard lock` that a test can take away, to show that it would notice.
//!
//! The variable `VOLGUARD_SABOTAGE` names them, separated by commas, in a build with the feature `sabotage`. Without
//! the feature it is not read.

/// A guard of `volguard lock`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guard {
    /// The front ends the command by its own clock.
    FrontClock,
    /// The session's process ends the command when the lock is lost or the front is gone.
    SessionKill,
    /// The front ends the command when the session says that the lock is lost, or is gone.
    News,
    /// SIGKILL follows where SIGTERM did not help.
    Kill,
    /// Signals go to the whole process group of the command.
    Group,
    /// A look at the processes of a group sees them. Without it, all of them are missed, as by chance one is that forks
    /// and ends meanwhile.
    Sight,
    /// What seems to have no process left is killed once more, and looked at again.
    Sweep,
    /// A line on stderr that is not read does not keep the front from its work.
    Aside,
    /// The command does not begin when the lease is over.
    Begin,
    /// Signals that the caller has blocked come nevertheless.
    Unblock,
    /// What has left the group is killed with it.
    Descendants,
    /// The kernel ends the command with the front.
    DeathSignal,
    /// The server is asked whether the token is still held.
    AskAgain,
}

#[cfg(feature = "sabotage")]
pub(crate) fn is_removed(guard: Guard) -> bool {
    let name = format!("{guard:?}");
    std::env::var("VOLGUARD_SABOTAGE").is_ok_and(|removed| removed.split(',').any(|removed| removed == name))
}

#[cfg(not(feature = "sabotage"))]
pub(crate) fn is_removed(_: Guard) -> bool {
    false
}
