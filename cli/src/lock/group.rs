//! The process group of the command, and what has left it.

use super::proc::{Entry, all, family, me, process};
use crate::sabotage::{Guard, is_removed};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process_group, waitpid};

/// The process group of the command, which its first process leads. The number is theirs as long as the front does not
/// collect the status of the leader, which it never does before its own end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group(Pid);

impl Group {
    pub(super) fn new(leader: i32) -> Option<Group> {
        Pid::from_raw(leader).map(Group)
    }

    pub(super) fn leader(self) -> Pid {
        self.0
    }

    fn number(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Sends the signal to all of the group. A process of another user gets none.
    pub(super) fn send(self, signal: Signal) {
        if is_removed(Guard::Group) {
            let _ = kill_process(self.0, signal);
            return;
        }
        // The group may be gone, or belong to another user by now: `is_over` tells.
        let _ = kill_process_group(self.0, signal);
    }

    /// Asks it to end. What is stopped is continued, since a stopped process would not get the signal.
    pub(super) fn ask_to_end(self) {
        self.send(Signal::TERM);
        self.send(Signal::CONT);
    }

    /// Ends it.
    pub(super) fn kill(self) {
        if !is_removed(Guard::Kill) {
            self.send(Signal::KILL);
        }
    }

    /// Whether no process of it lives. A look at one process after the other misses those that fork and end all the
    /// time. The kernel's SIGKILL to a group misses none, and after it none is born: what the second look finds is all.
    pub(super) fn is_over(self) -> bool {
        if !is_removed(Guard::Sight) && !self.seems_empty() {
            return false;
        }
        if is_removed(Guard::Sweep) {
            return true;
        }
        self.kill();
        self.seems_empty()
    }

    /// It looks at all processes of the machine, since the session is not the parent of the group's.
    fn seems_empty(self) -> bool {
        if is_removed(Guard::Group) {
            return process(self.number()).is_none_or(|leader| leader.is_dead);
        }
        if test_kill_process_group(self.0) == Err(Errno::SRCH) {
            return true;
        }
        // What has ended and was not waited for still counts for the kernel.
        all().is_some_and(|all| !all.iter().any(|process| process.group == self.number() && !process.is_dead))
    }
}

/// What descends from the front, but for the session and what the front had before: the command.
#[derive(Debug)]
pub(super) struct Family {
    group: Group,
    entries: Vec<Entry>,
}

impl Family {
    /// Without these children of the front.
    pub(super) fn of(group: Group, others: &[i32]) -> Family {
        Family { group, entries: family(others) }
    }

    /// Collects those that have ended and whose parents have ended before them. The leader of the group stays.
    pub(super) fn bury(&self) {
        let me = me();
        let is_mine = |process: &&Entry| process.parent == me && process.pid != self.group.number();
        for process in self.entries.iter().filter(is_mine).filter(|process| process.is_dead) {
            let _ = waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG);
        }
    }

    /// Whether no process of the group is seen alive.
    pub(super) fn has_no_group(&self) -> bool {
        if is_removed(Guard::Sight) {
            return true;
        }
        let is_member = |process: &Entry| match is_removed(Guard::Group) {
            true => process.pid == self.group.number(),
            false => process.group == self.group.number(),
        };
        !self.entries.iter().any(|process| is_member(process) && !process.is_dead)
    }

    /// What lives and has left the group.
    fn strays(&self) -> impl Iterator<Item = Pid> {
        let is_stray = |process: &&Entry| process.group != self.group.number() && !process.is_dead;
        let strays = self.entries.iter().filter(is_stray).filter_map(|process| Pid::from_raw(process.pid));
        strays.filter(|_| !is_removed(Guard::Descendants))
    }

    /// Whether nothing that has left the group lives. What has ended may have left children to this process after the
    /// look at those: only when it has no child any more, none is left.
    pub(super) fn has_no_strays(&self) -> bool {
        let is_leader = |process: &Entry| process.pid == self.group.number();
        self.strays().next().is_none() && self.entries.iter().all(is_leader)
    }

    /// Sends the signal to what has left the group.
    pub(super) fn send_to_strays(&self, signal: Signal) {
        if signal == Signal::KILL && is_removed(Guard::Kill) {
            return;
        }
        for pid in self.strays() {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }
}
