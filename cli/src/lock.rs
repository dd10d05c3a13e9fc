//! `volguard lock`: a command under a lock.
//!
//! Two processes keep watch, so that one that is stopped or killed is no danger:
//!
//! - the *front*, which was called: it starts the command in a process group of its own, passes signals on, and ends
//!   the group by its own clock;
//! - the *session*, its child: it has the connections, keeps the service alive, takes and releases the lock. It ends
//!   the group when the lock is lost, and when the front is gone.
//!
//! They talk over a socket (`message`). The end of the lease stands in memory that both share (`deadline`), since a
//! message may wait unread while a process is stopped.

mod clock;
mod deadline;
mod front;
mod group;
mod message;
mod notice;
mod proc;
mod running;
mod session;
mod signals;
mod terminal;

use crate::args::{Database, Lock};
use crate::error::Failure;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Runs the command, and returns its exit code. Must be called before the process has a second thread.
pub(crate) fn run(database: &Database, lock: &Lock) -> Result<ExitCode, Failure> {
    if !proc::is_ours(std::path::Path::new("/proc")) {
        let missing = std::io::Error::other("not mounted, or that of another namespace of processes");
        return Err(Failure::system("/proc")(missing));
    }
    // What the caller has started before it became this process is not the command's.
    let mut others = proc::children(proc::me()).unwrap_or_default();
    let (front, session) = UnixStream::pair().map_err(Failure::system("a socket"))?;
    let deadline = deadline::Deadline::shared()?;
    // What the command has started stays the front's to wait for when its parents are gone.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Failure::system("PR_SET_CHILD_SUBREAPER"))?;
    // SAFETY: the process has one thread, so the child may do whatever the parent may.
    match unsafe { libc::fork() } {
        -1 => Err(Failure::system("fork")(std::io::Error::last_os_error())),
        0 => {
            drop(front);
            session::main(database, lock, session, &deadline)
        }
        session_pid => {
            drop(session);
            others.push(session_pid);
            front::run(lock, front, &others, deadline)
        }
    }
}
