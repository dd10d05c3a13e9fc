//! The end: whether each resource is in the recorded state.

use std::fmt::Display;

use super::super::{Ending, Offence, Rule};

pub(super) fn check(endings: &[Ending]) -> Vec<Offence> {
    endings
        .iter()
        .filter(|ending| ending.recorded != ending.found)
        .map(|ending| Offence::new(Rule::EndsAsRecorded, [ending as &dyn Display]))
        .collect()
}
