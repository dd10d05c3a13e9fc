//! The second half of a cleanup: the work of services whose fence is committed is repaired by its crash rules, in
//! processes for that.
//!
//! No service lock is needed: nothing is added to what a fenced service has. Rows that another cleanup or a claim has
//! locked are theirs.

use super::ask::{Asked, Repair};
use super::attempt::WorkOutcome;
use super::awaiting::{self, Awaiting};
use super::kind::{self, Work};
use super::order::State;
use super::selection::{DeadService, Selection};
use super::tally::Tallies;
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::{events, sql};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a call waits for repairs.
const CALL: Duration = Duration::from_secs(30);

/// How often a call looks for work of other types, each time for less.
const MOST_TURNS: usize = 100;

/// What the second half did.
#[derive(Debug, Default)]
pub struct Repairs {
    pub tallies: Tallies,
    /// Services of whose work none was tried: it is being repaired already, or isn't to be repaired yet.
    pub busy: HashSet<i64>,
    /// There is work that was not come to. Another call has fewer tries left than this one had.
    pub unfinished: bool,
}

/// Repairs work of services, of `most_services` and `most_rows` at the longest. The rows of one kind are locked when it
/// is their turn: work of others is not locked while a rule takes long.
pub fn repair(
    selection: &Selection,
    services: &[&DeadService],
    most_services: usize,
    most_rows: usize,
) -> Result<Repairs, Error> {
    let mut done = Repairs::default();
    let chosen: Vec<i64> = services.iter().take(most_services).map(|service| service.service_id).collect();
    if chosen.is_empty() {
        return Ok(done);
    }
    let mut left = services.len() > chosen.len();
    let mut repair = Repair::until(Instant::now() + CALL);
    let (mut items, mut types) = (Vec::new(), Vec::new());
    for turn in 1..=MOST_TURNS {
        let most = (most_rows / turn).max(1);
        let (work, full) = select(selection, &chosen, most, &types)?;
        left |= full;
        items.extend(work.iter().flat_map(|(_, items)| items).map(|item| (item.token, item.service_id, item.due)));
        repair.begin(&Asked::all(&work))?;
        // What takes long does not keep work of other types from its turn.
        if !full || repair.is_over() || sabotage::removed(Guard::Share) {
            break;
        }
        types.extend(work.into_iter().map(|(kind, _)| kind.resource_type));
    }
    let answer = repair.end()?;
    let mut tried_due = false;
    let mut untried = HashSet::new();
    for (token, service_id, due) in items {
        let state = answer.state(token);
        match state {
            State::Untried => {
                untried.insert(service_id);
            }
            _ => done.tallies.of(service_id).count(state),
        }
        tried_due |= due && state != State::Untried;
    }
    left |= answer.unfinished;
    for service_id in untried {
        if done.tallies.is_of(service_id) {
            continue;
        }
        match answer.no_process || !answer.not_started.is_empty() {
            true => drop(done.tallies.of(service_id)),
            false => drop(done.busy.insert(service_id)),
        }
    }
    for (resource_type, tokens) in &answer.without_table {
        note(tokens.clone(), &Awaiting::table_missing(resource_type)?)?;
    }
    note(answer.tokens_in(State::Trying), &Awaiting::process_ended())?;
    note(answer.not_started.clone(), &Awaiting::process_not_started())?;
    if answer.no_process {
        note(answer.tokens_in(State::Untried), &Awaiting::no_process())?;
    }
    answer.warn()?;
    // A call that goes on without end would try the same again and again.
    done.unfinished = left && (tried_due || done.tallies.any_done());
    Ok(done)
}

/// Work of the services, but for these types; and whether there may be more than `most`.
fn select(selection: &Selection, services: &[i64], most: usize, but: &[String]) -> Result<(Work, bool), Error> {
    let [services, resource_type, resource_id, until] = selection.scope(services.to_vec());
    let due = arg(selection.unattended);
    let parameters = [services, resource_type, resource_id, until, due, arg(most as i64), arg(but.to_vec())];
    lookup_locks::given_back(|| sql::WORK.run(&parameters, |rows| (kind::read(rows), rows.len() == most)))
}

fn note(tokens: Vec<i64>, why: &Awaiting) -> Result<(), Error> {
    if tokens.is_empty() {
        return Ok(());
    }
    let work = sql::LOCK_WORK_TOKENS.run(&[arg(tokens), arg(false)], kind::read)?;
    if let State::Failed = why.state {
        for (kind, items) in &work {
            events::record_failure(&kind.resource_type, &items[0].resource_id, &kind.status, &why.failure())?;
        }
    }
    let outcomes: Vec<_> =
        work.into_iter().flat_map(|(_, items)| items).map(|item| (item, WorkOutcome::Awaiting(why.clone()))).collect();
    awaiting::note(&outcomes)
}
