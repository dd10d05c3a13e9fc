//! Why work waits that a cleanup could not repair, and when it is tried again: both stand in its row.

use super::attempt::WorkOutcome;
use super::kind::WorkItem;
use super::order::State;
use crate::pg::clip::clipped;
use crate::pg::error::Error;
use crate::pg::log;
use crate::pg::spi::arg;
use crate::pg::transaction::Failure;
use crate::store::sql;
use crate::store::tracked::{Resource, no_table};
use std::rc::Rc;

/// When work is tried again whose rule has failed, or that has none, in case that was mended. Seconds.
const LATER_S: i32 = 600;

/// When work is tried again that was not reached. Seconds.
const SOON_S: i32 = 30;

/// When work is tried again that another transaction had locked. Seconds.
const LOCKED_S: i32 = 2;

/// The statements know by the first words that such work has not failed itself, as in all reasons of work that is tried
/// again soon.
const NOT_TRIED: &str = "not tried: the crash rule takes too long";

/// Why work waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaiting {
    /// `None`: as before.
    reason: Option<Rc<str>>,
    /// When it is tried again, in seconds. `None`: as before.
    seconds: Option<i32>,
    /// What the session that asked is told.
    pub state: State,
}

impl Awaiting {
    fn later(text: &str) -> Self {
        Awaiting { reason: Some(clipped(text).into()), seconds: Some(LATER_S), state: State::AwaitingLater }
    }

    fn soon(text: &str) -> Self {
        Awaiting { reason: Some(clipped(text).into()), seconds: Some(SOON_S), state: State::AwaitingSoon }
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub fn rule_missing(resource_type: &str, status: Option<&str>) -> Self {
        Self::later(&match status {
            None => format!("resource type {resource_type} is not tracked"),
            Some(status) => format!("{resource_type} has no crash rule for the status {status}"),
        })
    }

    /// The type isn't tracked, or its table is gone, which is worth a warning.
    pub fn table_missing(resource_type: &str) -> Result<Self, Error> {
        let tracked = Resource::look_up(resource_type)?;
        Ok(match tracked {
            None => Self::rule_missing(resource_type, None),
            Some(_) => {
                let reason = no_table(resource_type).to_string();
                log::warning(&reason, None);
                Self::later(&reason)
            }
        })
    }

    pub fn failed(failure: &Failure) -> Self {
        // What it waited for, such as a partition that another transaction has locked, will be free again.
        let seconds = if failure.sqlstate == *b"55P03" { SOON_S } else { LATER_S };
        Awaiting { state: State::Failed, seconds: Some(seconds), ..Self::later(&failure.message) }
    }

    /// The process has ended in the middle of the rule.
    pub fn process_ended() -> Self {
        Awaiting { state: State::Failed, ..Self::later("the process that ran the crash rule has ended") }
    }

    pub fn process_not_started() -> Self {
        Self::soon("not tried: the process for a repair has not started: see the log of the server")
    }

    pub fn no_process() -> Self {
        Self::soon("not tried: no process is left for a repair: raise max_worker_processes, or free shared memory")
    }

    /// As a failure that has no other error.
    pub fn failure(&self) -> Failure {
        let message = self.reason.as_deref().unwrap_or_default().to_owned();
        Failure { message, sqlstate: *b"57P01", out_of_time: false }
    }

    fn locked(text: &str) -> Self {
        Awaiting { seconds: Some(LOCKED_S), ..Self::soon(text) }
    }

    pub fn row_locked() -> Self {
        Self::locked("not tried: another transaction has locked the row")
    }

    pub fn table_locked(table: &str) -> Self {
        Self::locked(&format!("not tried: another transaction has locked the table {table}"))
    }

    /// The rule has taken too long on other resources. Work that has failed before keeps its reason, and comes again
    /// apart from what fails now: so what is in order is found in the end among what isn't.
    pub fn not_tried(item: &WorkItem) -> Self {
        match (item.failed_before, item.due) {
            (false, _) => Self::soon(NOT_TRIED),
            (true, true) => Awaiting { reason: None, seconds: Some(SOON_S), state: State::AwaitingSoon },
            (true, false) => Awaiting { reason: None, seconds: None, state: State::AwaitingSoon },
        }
    }
}

/// Notes in the rows of the work that awaits why it does. Work of a service that isn't fenced awaits nothing: it is the
/// service's, as before.
pub fn note<'o>(outcomes: impl IntoIterator<Item = &'o (WorkItem, WorkOutcome)>) -> Result<(), Error> {
    let (mut tokens, mut reasons, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for (item, outcome) in outcomes {
        if let WorkOutcome::Awaiting(awaiting) = outcome
            && let Some(after) = awaiting.seconds
            && !item.holder.is_unfenced
        {
            tokens.push(item.token);
            reasons.push(awaiting.reason.as_deref());
            seconds.push(after);
        }
    }
    if !tokens.is_empty() {
        sql::AWAIT.count(&[arg(tokens), arg(reasons), arg(seconds)])?;
    }
    Ok(())
}
