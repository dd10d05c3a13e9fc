//! The command as a process.

use super::deadline::Deadline;
use super::front::not_begun;
use super::group::Group;
use super::message::Order;
use super::signals::without_ttou;
use crate::error::Failure;
use crate::sabotage::{Guard, is_removed};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Code(u8),
    Signal(i32),
}

/// What a look at the command finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Ended(End),
    Stopped(Signal),
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) group: Group,
    /// How its first process ended.
    pub(super) end: Option<End>,
}

impl Running {
    /// Starts it in a group of its own, in the foreground of the terminal if there is one to hand over. The session
    /// knows the group before the command's first instruction.
    ///
    /// A command that can't be run is one that has ended, with the code that shells give.
    pub(super) fn start(
        command: &[OsString],
        token: i64,
        session: &UnixStream,
        deadline: Deadline,
        tty: Option<i32>,
    ) -> Result<Result<Running, (End, String)>, Failure> {
        let (program, arguments) = command.split_first().expect("clap asks for one");
        let mut socket = session.try_clone().map_err(Failure::system("a socket"))?;
        let front = rustix::process::getpid();
        let mut command = Command::new(program);
        command.args(arguments).env("VOLGUARD_TOKEN", token.to_string());
        // SAFETY: the process has one thread, so the child may do whatever the parent may.
        unsafe { command.pre_exec(move || prepare(&mut socket, deadline, tty, front)) };
        match command.spawn() {
            Ok(child) => {
                let leader = i32::try_from(child.id()).ok().and_then(Group::new).expect("a process id");
                Ok(Ok(Running { group: leader, end: None }))
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(not_begun("the session has ended")),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Err(not_begun("the lease was over")),
            Err(error) => {
                let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
                Ok(Err((End::Code(code), format!("{}: {error}", program.to_string_lossy()))))
            }
        }
    }

    /// What has become of it since the last look. Its end is seen but not collected: its number stays taken.
    pub(super) fn look(&mut self) -> Option<Change> {
        let look = |options| waitid(WaitId::Pid(self.group.leader()), options | WaitIdOptions::NOHANG).ok().flatten();
        if let Some(status) = look(WaitIdOptions::STOPPED)
            && let Some(signal) = status.stopping_signal().and_then(Signal::from_named_raw)
        {
            return Some(Change::Stopped(signal));
        }
        if self.end.is_some() {
            return None;
        }
        let status = look(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        let code = status.exit_status().and_then(|code| u8::try_from(code & 0xff).ok());
        let end = code.map(End::Code).or(status.terminating_signal().map(End::Signal))?;
        self.end = Some(end);
        Some(Change::Ended(end))
    }
}

/// In the process that is about to become the command.
fn prepare(socket: &mut UnixStream, deadline: Deadline, tty: Option<i32>, front: Pid) -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    let me = rustix::process::getpid();
    socket.write_all(Order::Group(me.as_raw_nonzero().get()).to_string().as_bytes())?;
    if !is_removed(Guard::DeathSignal) {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    // The front may have gone before that was set.
    if rustix::process::getppid() != Some(front) {
        return Err(io::Error::from_raw_os_error(libc::EPIPE));
    }
    if let Some(tty) = tty {
        // SAFETY: the front has it open, and the fork has kept it open.
        let tty = unsafe { BorrowedFd::borrow_raw(tty) };
        without_ttou(|| rustix::termios::tcsetpgrp(tty, me))?;
    }
    // The last thing before the command's first instruction: the front may have been stopped since the grant.
    if deadline.has_passed() && !is_removed(Guard::Begin) {
        return Err(io::Error::from_raw_os_error(libc::ETIME));
    }
    Ok(())
}
