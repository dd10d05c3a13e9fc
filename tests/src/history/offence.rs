//! A rule, and the event that broke it.

use std::fmt;

/// What must hold of every history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A key has at most one holder.
    OneHolder,
    /// The tokens of a key strictly grow.
    TokensGrow,
    /// No token is given twice, whatever its key.
    TokensUnique,
    /// Service ids strictly grow.
    IdsGrow,
    /// No service id is given twice.
    IdsUnique,
    /// A lock that is freed was held.
    FreedOnce,
    /// A resource is written only with a token that is held at that moment.
    WritesUnderLock,
    /// A resource is written only with a token of its own key.
    WritesWithOwnToken,
    /// The tokens of a key's writes never decrease: a fence in the storage ensures that.
    NewestTokenWrites,
    /// Each write builds on the one before it.
    NoLostUpdate,
    /// No write takes effect twice.
    WrittenOnce,
    /// A refused call has no effect.
    RefusedIsNotDone,
    /// A confirmed call has the effect that was confirmed.
    ConfirmedIsDone,
    /// Every lock is released or cleaned in the end.
    ReleasedOrCleaned,
    /// A service loses a lock that it did not give back only if the service has ended.
    OnlyTheDeadLoseLocks,
    /// Of several locks requested at once, all are taken or none.
    AllOrNone,
    /// A service that has ended takes no lock and writes nothing.
    DeadStayDead,
    /// A call that was answered before another one was sent comes before it in the database's order.
    OrderOfTime,
    /// Nothing happens without a request.
    OnlyWhatWasAsked,
    /// In the end each resource is in the recorded state.
    EndsAsRecorded,
    /// Work is submitted once under one request, whatever is repeated.
    SubmittedOnce,
    /// A status is changed with the row of its work, and never without.
    StatusWithWork,
    /// A piece of work is ended once, in a way that was asked for or by the rule of its status.
    EndedOnce,
    /// Each crash over a piece of work is one more attempt, and nothing else is; the rule comes after the attempts.
    AttemptsGrow,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneHolder => "two hold one key",
            Self::TokensGrow => "a token is not larger than an earlier one of its key",
            Self::TokensUnique => "a token was given twice",
            Self::IdsGrow => "a service id is not larger than an earlier one",
            Self::IdsUnique => "a service id was given twice",
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
            Self::OnlyWhatWasAsked => "something happened without a request",
            Self::EndsAsRecorded => "a resource is not in the state that is on record",
            Self::SubmittedOnce => "one request has submitted work twice",
            Self::StatusWithWork => "a status and its work are apart",
            Self::EndedOnce => "work was not ended once",
            Self::AttemptsGrow => "an attempt was not counted",
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
