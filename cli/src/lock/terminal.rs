//! Whose terminal it is: the process group in its foreground gets Ctrl-C and may read.

use super::group::Group;
use super::proc::{Entry, me, process};
use super::signals::without_ttou;
use rustix::process::{Pid, Signal, kill_current_process_group};
use rustix::stdio;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

/// The controlling terminal, if there is one.
#[derive(Debug)]
pub(super) struct Terminal {
    tty: Option<File>,
    /// How it was set before the command.
    settings: Option<Termios>,
    /// The command has it.
    handed_over: bool,
}

impl Terminal {
    pub(super) fn find() -> Terminal {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        let settings = tty.as_ref().and_then(|tty| tcgetattr(tty).ok());
        Terminal { tty, settings, handed_over: false }
    }

    /// The terminal, if the command is to have it from its start: in a pipeline the others may need it.
    pub(super) fn for_command(&mut self) -> Option<i32> {
        let alone = isatty(stdio::stdin()) && isatty(stdio::stdout());
        self.handed_over = alone && self.is_mine();
        self.handed_over.then(|| self.tty.as_ref().map(AsRawFd::as_raw_fd)).flatten()
    }

    fn is_mine(&self) -> bool {
        self.tty.as_ref().is_some_and(|tty| tcgetpgrp(tty).is_ok_and(|group| own_group() == Some(group)))
    }

    fn give_to(&self, group: Pid) -> bool {
        self.tty.as_ref().is_some_and(|tty| without_ttou(|| tcsetpgrp(tty, group)).is_ok())
    }

    /// The command has stopped. If it wanted the terminal it gets it. If its user has stopped it, this process stops
    /// as well, with its group, and goes on with the command when it is continued; the session goes on meanwhile.
    pub(super) fn command_stopped(&mut self, group: Group, by: Signal) {
        if (by == Signal::TTIN || by == Signal::TTOU) && self.is_mine() {
            self.handed_over = self.give_to(group.leader());
            group.send(Signal::CONT);
        } else if by == Signal::TSTP && self.handed_over {
            self.take_back();
            self.stop(group);
        }
    }

    /// Stops this process with the command.
    pub(super) fn stop(&mut self, group: Group) {
        if has_shell() {
            let _ = kill_current_process_group(Signal::STOP);
        }
        if self.is_mine() && isatty(stdio::stdin()) && isatty(stdio::stdout()) {
            self.handed_over = self.give_to(group.leader());
        }
        group.send(Signal::CONT);
    }

    /// Takes the terminal from the command.
    pub(super) fn take_back(&mut self) -> bool {
        std::mem::take(&mut self.handed_over) && own_group().is_some_and(|group| self.give_to(group))
    }

    /// Puts back the settings, after a command that could not.
    pub(super) fn put_back(&self) {
        if let (Some(tty), Some(settings)) = (&self.tty, &self.settings) {
            let _ = without_ttou(|| tcsetattr(tty, OptionalActions::Now, settings));
        }
    }
}

/// This process's group; `None` if its leader lives outside this process's namespace.
fn own_group() -> Option<Pid> {
    Pid::from_raw(process(me())?.group)
}

/// Whether a shell would continue this process group: the parent of one of its processes is in another group of the same
/// session. The kernel asks the same before it stops a group for Ctrl-Z.
fn has_shell() -> bool {
    process(me()).is_some_and(|me| has_shell_among(&me, process))
}

/// The same, among the processes that are looked up by their number.
fn has_shell_among(me: &Entry, process: impl Fn(i32) -> Option<Entry>) -> bool {
    let mut ancestor = process(me.parent);
    while let Some(other) = ancestor {
        if other.group != me.group {
            return other.session == me.session;
        }
        ancestor = process(other.parent);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_an_ancestor_of_another_group_of_the_session() {
        let entry = |pid, parent, group, session| Entry { pid, parent, group, session, is_dead: false };
        let has_shell = |ancestors: &[Entry]| {
            let (me, others) = ancestors.split_first().unwrap();
            has_shell_among(me, |pid| others.iter().find(|it| it.pid == pid).cloned())
        };
        assert!(has_shell(&[entry(9, 7, 9, 5), entry(7, 5, 5, 5)]));
        // By way of its own group.
        assert!(has_shell(&[entry(9, 7, 7, 5), entry(7, 5, 7, 5), entry(5, 1, 5, 5)]));
        // A script that leads its session; its parent lives elsewhere.
        assert!(!has_shell(&[entry(9, 7, 7, 7), entry(7, 1, 7, 7), entry(1, 0, 1, 1)]));
        // The parent's group and session are led from outside the namespace.
        assert!(!has_shell(&[entry(9, 7, 7, 7), entry(7, 5, 7, 7), entry(5, 1, 0, 0), entry(1, 0, 0, 0)]));
        // So is this process's own: a shell outside could not be seen. One inside has a group of its own.
        assert!(!has_shell(&[entry(9, 7, 0, 0), entry(7, 0, 0, 0)]));
        assert!(has_shell(&[entry(9, 1, 9, 0), entry(1, 0, 1, 0)]));
    }
}
