//! The goals of the figures.

use std::fmt;

use crate::rounds::Rounds;
use crate::score::Line;

#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// For the amount done in a second.
    AtLeast(f64),
    /// For the time that it takes.
    AtMost(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::AtLeast(goal) => write!(f, ">= {goal}"),
            Goal::AtMost(goal) => write!(f, "<= {goal}"),
        }
    }
}

/// One ratio, and its goal.
#[derive(Debug)]
pub struct Target {
    pub goal: Goal,
    pub what: String,
    pub ratio: Rounds,
}

impl Target {
    pub fn new(goal: Goal, what: String, ours: &Line, other: &Line) -> Target {
        let (ours, other) = (ours.per_second(), other.per_second());
        let (what, ratio) = match goal {
            Goal::AtLeast(_) => (what, ours.over(&other)),
            // The time for one is the inverse of the number in a second.
            Goal::AtMost(_) => (format!("{what}, time"), other.over(&ours)),
        };
        Target { goal, what, ratio }
    }

    pub fn verdict(&self) -> &'static str {
        let reached = match self.goal {
            Goal::AtLeast(goal) => self.ratio.median() >= goal,
            Goal::AtMost(goal) => self.ratio.median() <= goal,
        };
        if reached { "reached" } else { "missed" }
    }
}
