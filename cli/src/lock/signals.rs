//! Signals to the front, as a thing to wait for.

use crate::error::Failure;
use crate::sabotage::{Guard, is_removed};
use rustix::process::Signal;
use signal_hook::{flag, low_level};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is passed on to the command.
const PASSED_ON: [Signal; 8] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::TERM, Signal::WINCH, Signal::TSTP];

#[derive(Debug)]
pub(super) struct Signals {
    wake: UnixStream,
    flags: Vec<(Signal, Arc<AtomicBool>)>,
}

impl Signals {
    /// Begins to catch them. What the caller has set to be ignored, as `nohup` does, stays ignored, by the command too.
    pub(super) fn catch() -> Result<Signals, Failure> {
        let (wake, writer) = UnixStream::pair().map_err(Failure::system("a socket"))?;
        wake.set_nonblocking(true).map_err(Failure::system("a socket"))?;
        let mut flags = Vec::new();
        for signal in PASSED_ON.into_iter().chain([Signal::CHILD]) {
            if signal != Signal::CHILD && is_ignored(signal) {
                continue;
            }
            let flag = Arc::new(AtomicBool::new(false));
            let register = |signal| {
                flag::register(signal, Arc::clone(&flag))?;
                low_level::pipe::register(signal, writer.try_clone()?)
            };
            register(signal.as_raw()).map_err(Failure::system("a signal handler"))?;
            unblock(signal);
            flags.push((signal, flag));
        }
        Ok(Signals { wake, flags })
    }

    /// Readable when there is one.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Those that have come since the last call.
    pub(super) fn take(&mut self) -> Vec<Signal> {
        let mut ignored = [0; 64];
        loop {
            match self.wake.read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let came = |(signal, flag): &(Signal, Arc<AtomicBool>)| flag.swap(false, Ordering::SeqCst).then_some(*signal);
        self.flags.iter().filter_map(came).collect()
    }
}

/// A caller may have blocked it, as programs do that wait for signals in a thread of their own. It would never come.
fn unblock(signal: Signal) {
    if is_removed(Guard::Unblock) {
        return;
    }
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills the set in, and the signal is one that the kernel knows.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only fills in the old one, and zeroes are a valid one.
    unsafe {
        libc::sigaction(signal.as_raw(), std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Has this process end by the signal, as if it had not been caught.
pub(super) fn die_by(signal: Signal) {
    let _ = low_level::emulate_default_handler(signal.as_raw());
}

/// Runs `act` while SIGTTOU is ignored: otherwise a process in the background that touches the terminal is stopped.
pub(super) fn without_ttou<T>(act: impl FnOnce() -> T) -> T {
    // SAFETY: ignoring a signal runs no code. The only other thread that there may be blocks it.
    let before = unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    let done = act();
    // SAFETY: what is put back was there before.
    unsafe { libc::signal(libc::SIGTTOU, before) };
    done
}
