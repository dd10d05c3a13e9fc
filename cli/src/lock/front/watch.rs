//! The time in which the command runs.

use super::{Ended, Events};
use crate::error::Failure;
use crate::lock::clock::{Nanos, now};
use crate::lock::deadline::Deadline;
use crate::lock::group::Family;
use crate::lock::message::News;
use crate::lock::notice::Notice;
use crate::lock::running::{Change, End, Running};
use crate::lock::terminal::Terminal;
use crate::sabotage::{Guard, is_removed};
use rustix::process::Signal;

/// How long it may take to notice the end of a process whose parent has left the group: that is no event here.
const LOOK_AGAIN: Nanos = 100_000_000;

/// The command is to end.
#[derive(Debug)]
struct Ending {
    /// The lock can't be relied on. `None`: its first process has ended, others of its group have not.
    lost: Option<String>,
    kill_at: Nanos,
    is_killed: bool,
}

struct Watch<'a> {
    running: Running,
    deadline: Deadline,
    /// Children of this process that are not the command's.
    others: &'a [i32],
    ending: Option<Ending>,
    notice: Option<Notice>,
}

/// Returns when no process of the command's group is left; of a command that is ended for its lock, nothing at all.
pub(super) fn until_ended(
    running: Running,
    events: &mut Events,
    terminal: &mut Terminal,
    deadline: Deadline,
    others: &[i32],
) -> Result<Ended, Failure> {
    let group = running.group;
    let mut watch = Watch { running, deadline, others, ending: None, notice: None };
    loop {
        watch.check_clock();
        let seen = events.wait(Some(watch.next_look()))?;
        for news in seen.news {
            if let (News::Lost { why, .. }, false) = (news, is_removed(Guard::News)) {
                watch.end(Some(why), now());
            }
        }
        if events.session_is_gone() && watch.ending.is_none() && !is_removed(Guard::News) {
            watch.end(Some("the process of its session has ended".to_owned()), now() + deadline.grace());
        }
        for signal in seen.signals {
            group.send(signal);
            if signal == Signal::TSTP {
                terminal.stop(group);
            }
        }
        while let Some(change) = watch.running.look() {
            if let Change::Stopped(signal) = change {
                terminal.command_stopped(group, signal);
            }
        }
        if seen.is_about_children || watch.running.end.is_some() {
            let family = Family::of(group, others);
            family.bury();
            if let Some(end) = watch.running.end
                && watch.is_over(&family)
            {
                return Ok(watch.ended(end));
            }
        }
    }
}

impl Watch<'_> {
    /// The moment at which the command must be dead.
    fn limit(&self) -> Nanos {
        if is_removed(Guard::FrontClock) { Nanos::MAX } else { self.deadline.get() }
    }

    /// Has the command end: SIGTERM now, and SIGKILL at this moment, or when the lease is over.
    fn end(&mut self, lost: Option<String>, kill_at: Nanos) {
        let at_once = kill_at <= now();
        match &mut self.ending {
            None => {
                if let Some(why) = &lost {
                    let how = if at_once { "SIGKILL to the command" } else { "SIGTERM to the command" };
                    self.notice = Some(Notice::write(format!("{why}: {how}")));
                }
                if !at_once {
                    self.running.group.ask_to_end();
                    if lost.is_some() {
                        Family::of(self.running.group, self.others).send_to_strays(Signal::TERM);
                    }
                }
                self.ending = Some(Ending { lost, kill_at, is_killed: false });
            }
            Some(ending) => {
                ending.lost = ending.lost.take().or(lost);
                ending.kill_at = ending.kill_at.min(kill_at);
            }
        }
        self.check_clock();
    }

    fn check_clock(&mut self) {
        let (now, limit) = (now(), self.limit());
        match &mut self.ending {
            None if now >= limit.saturating_sub(self.deadline.grace()) => {
                self.end(Some("no heartbeat has succeeded in time".to_owned()), limit);
            }
            Some(ending) if ending.is_killed || now >= ending.kill_at.min(limit) => {
                if now >= limit && ending.lost.is_none() && !ending.is_killed {
                    ending.lost = Some("no heartbeat has succeeded in time".to_owned());
                }
                // Again and again: a process may have been born in between.
                ending.is_killed = true;
                self.running.group.kill();
                if ending.lost.is_some() {
                    Family::of(self.running.group, self.others).send_to_strays(Signal::KILL);
                }
            }
            _ => {}
        }
    }

    /// Its first process has ended. Whether the others have as well: those of the group; of a command that is ended for
    /// its lock, all; another one may leave daemons.
    fn is_over(&mut self, family: &Family) -> bool {
        if !family.has_no_group() || !self.running.group.is_over() {
            if self.ending.is_none() {
                self.end(None, now() + self.deadline.grace());
            }
            return false;
        }
        let is_lost = self.ending.as_ref().is_some_and(|ending| ending.lost.is_some());
        !is_lost || family.has_no_strays()
    }

    fn next_look(&self) -> Nanos {
        let soon = now() + LOOK_AGAIN;
        match &self.ending {
            None => self.limit().saturating_sub(self.deadline.grace()),
            Some(ending) if ending.is_killed => soon,
            Some(ending) if self.running.end.is_some() => soon.min(ending.kill_at).min(self.limit()),
            Some(ending) => ending.kill_at.min(self.limit()),
        }
    }

    fn ended(self, end: End) -> Ended {
        Ended { end, lost: self.ending.and_then(|ending| ending.lost), notice: self.notice }
    }
}
