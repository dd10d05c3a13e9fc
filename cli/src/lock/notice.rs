//! A line on stderr while the command runs.

use crate::sabotage::{Guard, is_removed};
use crate::tell;
use std::thread::{Builder, JoinHandle};

/// A line that is being written by a thread of its own: a terminal that is stopped, or a pipe that is full, must not
/// keep this process from ending the command.
#[derive(Debug)]
pub(super) struct Notice(Option<JoinHandle<()>>);

impl Notice {
    /// Begins to write it. Where there can be no thread it is left out.
    pub(super) fn write(text: String) -> Notice {
        if is_removed(Guard::Aside) {
            tell(&text);
            return Notice(None);
        }
        let thread = Builder::new().spawn(move || {
            block_signals();
            tell(&text);
        });
        Notice(thread.ok())
    }

    /// Waits until it is written.
    pub(super) fn finish(self) {
        if let Some(thread) = self.0 {
            let _ = thread.join();
        }
    }
}

/// SIGTTOU above all: a process in the background that writes to the terminal may be stopped by it, with all of its
/// threads. A thread that blocks it writes on.
fn block_signals() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills the set in. The mask is that of this thread.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}
