//! A rule, and what broke it.

use std::fmt;

/// What must hold of every history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Of one key there is one holder at most.
    OneHolder,
    /// The tokens of a key strictly grow.
    TokensGrow,
    /// What is freed was held.
    FreedOnce,
    /// A resource is written only with a token that is held at that moment.
    WritesUnderLock,
    /// And only with a token of its own.
    WritesWithOwnToken,
    /// The tokens of a key's writes never fall: what a fence in the storage is for.
    NewestTokenWrites,
    /// Each write builds on the one before.
    NoLostUpdate,
    /// No write takes effect twice.
    WrittenOnce,
    /// What was refused did not take effect.
    RefusedIsNotDone,
    /// What was confirmed took effect, as it was confirmed.
    ConfirmedIsDone,
    /// Every lock is released or cleaned in the end.
    ReleasedOrCleaned,
    /// Who didn't give a lock back loses it only if its service has ended.
    OnlyTheDeadLoseLocks,
    /// Of several locks that were asked for at once, all are taken or none.
    AllOrNone,
    /// A service that has ended takes no lock and writes nothing.
    DeadStayDead,
    /// What was answered before something else was asked comes before it in the database's order.
    OrderOfTime,
    /// Nothing happens that nobody asked for.
    OnlyWhatWasAsked,
    /// In the end each resource is in the state that is on record.
    EndsAsRecorded,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneHolder => "two hold one key",
            Self::TokensGrow => "a token is not larger than an earlier one of its key",
            Self::FreedOnce => "a lock was freed that was not held",
            Self::WritesUnderLock => "a write took effect whose token was not held",
            Self::WritesWithOwnToken => "a write took effect with the token of another key",
            Self::NewestTokenWrites => "a write came after one with a larger token",
            Self::NoLostUpdate => "a write did not build on the one before",
            Self::WrittenOnce => "a write took effect twice",
            Self::RefusedIsNotDone => "a refused write took effect",
            Self::ConfirmedIsDone => "what was confirmed did not take effect",
            Self::ReleasedOrCleaned => "a lock was neither released nor cleaned",
            Self::OnlyTheDeadLoseLocks => "a living service has lost a lock that it did not give back",
            Self::AllOrNone => "a part was taken of locks that were asked for at once",
            Self::DeadStayDead => "a dead service has acted",
            Self::OrderOfTime => "what was over came after what was asked later",
            Self::OnlyWhatWasAsked => "something happened that nobody had asked for",
            Self::EndsAsRecorded => "a resource is not in the state that is on record",
        })
    }
}

/// A rule that a history breaks.
#[derive(Debug, Clone)]
pub struct Offence {
    /// The rule.
    pub rule: Rule,
    /// The events that break it, in words.
    pub events: Vec<String>,
}

impl Offence {
    pub(super) fn new<'a>(rule: Rule, events: impl IntoIterator<Item = &'a dyn fmt::Display>) -> Self {
        Self { rule, events: events.into_iter().map(ToString::to_string).collect() }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.rule)?;
        self.events.iter().try_for_each(|event| write!(f, "\n    {event}"))
    }
}
