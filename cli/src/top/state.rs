//! What the screen shows, and how.

use super::feed::{Request, Snapshot};
use crate::section::{ALL, Choice};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct State {
    pub(super) snapshot: Option<Snapshot>,
    /// Since when there is no answer, and why.
    pub(super) lost: Option<(Instant, String)>,
    /// The section that keys act on.
    pub(super) focus: usize,
    /// It has the screen for itself.
    pub(super) is_alone: bool,
    /// How many rows of each section are scrolled away.
    pub(super) scrolled: [usize; ALL.len()],
    pub(super) choices: [Choice; ALL.len()],
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// How many rows of the section in focus there was room for.
    pub(super) page: usize,
}

impl State {
    pub(super) fn new(filter: String) -> State {
        let (snapshot, lost, is_alone, is_typing, is_paused, shows_help) = Default::default();
        let (scrolled, choices) = Default::default();
        // The locks.
        let (focus, page) = (2, 1);
        State { snapshot, lost, focus, is_alone, scrolled, choices, filter, is_typing, is_paused, shows_help, page }
    }

    /// What is to be read.
    pub(super) fn request(&self) -> Request {
        let State { filter, choices, is_paused, .. } = self;
        Request { filter: filter.clone(), choices: choices.clone(), is_paused: *is_paused }
    }

    pub(super) fn show(&mut self, snapshot: Snapshot) {
        self.lost = None;
        self.snapshot = Some(snapshot);
        for at in 0..ALL.len() {
            self.scroll_to(at, self.scrolled[at]);
        }
    }

    pub(super) fn lose(&mut self, problem: String) {
        let since = self.lost.take().map_or_else(Instant::now, |(since, _)| since);
        self.lost = Some((since, problem));
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// For how long there is no answer, and why.
    pub(super) fn lost_for(&self) -> Option<(Duration, &str)> {
        self.lost.as_ref().map(|(since, problem)| (since.elapsed(), &**problem))
    }

    /// How many rows of a section have been read.
    pub(super) fn rows(&self, at: usize) -> usize {
        self.snapshot.as_ref().and_then(|snapshot| snapshot.sections.get(at)).map_or(0, |(rows, _)| rows.len())
    }

    pub(super) fn scroll_to(&mut self, at: usize, row: usize) {
        self.scrolled[at] = row.min(self.rows(at).saturating_sub(1));
    }

    /// Scrolls the section in focus.
    pub(super) fn scroll(&mut self, by: isize) {
        self.scroll_to(self.focus, self.scrolled[self.focus].saturating_add_signed(by));
    }

    /// Sorts the section in focus by the next column, or the one before; after the last one in its own order again.
    pub(super) fn sort(&mut self, forward: bool) {
        let columns = ALL[self.focus].columns.len();
        let choice = &mut self.choices[self.focus];
        choice.sort = match (choice.sort, forward) {
            (None, true) => Some(0),
            (None, false) => Some(columns - 1),
            (Some(at), true) => Some(at + 1).filter(|next| *next < columns),
            (Some(at), false) => at.checked_sub(1),
        };
    }
}
