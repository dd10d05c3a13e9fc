//! What the front waits for: the session, signals, a moment.

use crate::error::Failure;
use crate::lock::clock::Nanos;
use crate::lock::message::{News, Order};
use crate::lock::signals::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// But for that of a child.
    pub(super) signals: Vec<Signal>,
    /// A child has ended or stopped.
    pub(super) is_about_children: bool,
    pub(super) news: Vec<News>,
}

#[derive(Debug)]
pub(super) struct Events {
    session: UnixStream,
    session_is_gone: bool,
    /// What of a line has come.
    begun: Vec<u8>,
    signals: Signals,
    /// On the clock that goes on while the machine is suspended.
    timer: OwnedFd,
}

impl Events {
    pub(super) fn of(session: UnixStream) -> Result<Events, Failure> {
        session.set_nonblocking(true).map_err(Failure::system("a socket"))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags).map_err(Failure::system("a timer"))?;
        Ok(Events { session, session_is_gone: false, begun: Vec::new(), signals: Signals::catch()?, timer })
    }

    /// Waits for something to happen, until the moment given at the latest.
    pub(super) fn wait(&mut self, until: Option<Nanos>) -> Result<Seen, Failure> {
        let at = until.map_or(0, |at| at.max(1));
        let split = |at: Nanos| Timespec {
            tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0),
        };
        let time = Itimerspec { it_interval: split(0), it_value: split(at) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time).map_err(Failure::system("a timer"))?;
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![readable(self.timer.as_fd()), readable(self.signals.fd())];
        if !self.session_is_gone {
            fds.push(readable(self.session.as_fd()));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::system("poll")(error)),
        }
        let (children, signals): (Vec<_>, Vec<_>) =
            self.signals.take().into_iter().partition(|signal| *signal == Signal::CHILD);
        Ok(Seen { signals, is_about_children: !children.is_empty(), news: self.read() })
    }

    fn read(&mut self) -> Vec<News> {
        let mut buffer = [0; 4096];
        while !self.session_is_gone {
            match self.session.read(&mut buffer) {
                Ok(length @ 1..) => self.begun.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => self.session_is_gone = true,
            }
        }
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.begun.drain(..whole).collect();
        String::from_utf8_lossy(&lines).lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub(super) fn session(&self) -> &UnixStream {
        &self.session
    }

    pub(super) fn session_is_gone(&self) -> bool {
        self.session_is_gone
    }

    /// A session that is gone hears nothing; what it has said last is what counts then.
    pub(super) fn tell(&mut self, order: Order) {
        let _ = self.session.write_all(order.to_string().as_bytes());
    }

    /// For the session, this process is gone from now on.
    pub(super) fn hang_up(&mut self) {
        let _ = self.session.shutdown(Shutdown::Write);
    }
}
