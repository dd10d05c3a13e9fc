//! One try to repair work of one kind, in one transaction: it removes the rows of `workers` and changes the resources,
//! or does neither.
//!
//! It waits for no row of the user's: rows that another transaction has locked are passed over.

use super::awaiting::{self, Awaiting};
use super::kind::{self, WorkItem, WorkKind};
use super::order::{Order, State};
use super::rules::{CrashRule, Found};
use super::tally::Tally;
use crate::conditional_update;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::pg::time_limit;
use crate::pg::transaction::Failure;
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event, EventKind};
use crate::store::sql::{self, Statement};
use crate::store::tables::Tables;
use crate::store::tracked::Resource;
use pgrx::pg_sys::{self, Oid};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Why nothing is done, if none of the work can be locked.
const IN_USE: &str = "a transaction that has not ended relies on the work, or changes it";

/// What became of one work item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkOutcome {
    /// The rule changed the resource; the row of `workers` is removed.
    Cleaned,
    /// The resource has another status than the work, or is gone; the row of `workers` is removed.
    Stale,
    /// The work waits.
    Awaiting(Awaiting),
}

impl WorkOutcome {
    pub fn state(&self) -> State {
        match self {
            WorkOutcome::Cleaned => State::Cleaned,
            WorkOutcome::Stale => State::Stale,
            WorkOutcome::Awaiting(why) => why.state,
        }
    }
}

pub type Outcomes = Vec<(WorkItem, WorkOutcome)>;

enum Rule {
    /// It changes the resources.
    Changes(CrashRule),
    /// There is none for the status: it finds the resources that still have it.
    Looks(CrashRule),
    Missing(Awaiting),
    /// Another owner's by now: its rules run in another process.
    Others,
}

/// What a try is about.
#[derive(Clone, Copy)]
pub struct Attempt<'o> {
    pub kind: &'o WorkKind,
    pub order: &'o Order,
}

impl Attempt<'_> {
    /// Repairs items, as far as no other transaction has them locked.
    pub fn on(&self, items: &[WorkItem]) -> Result<Outcomes, Error> {
        let tokens: Vec<i64> = items.iter().map(|item| item.token).collect();
        let statement = match sabotage::removed(Guard::RetryFirst) || sabotage::removed(Guard::RetryBeforeRule) {
            false => &sql::LOCK_WORK_TO_REPAIR,
            true => &sql::LOCK_WORK_TOKENS,
        };
        let items = self.lock_by(statement, tokens)?;
        if items.is_empty() {
            self.order.explain(IN_USE);
        }
        let outcomes = match self.find()? {
            Rule::Changes(rule) => self.run_on_permitted(&rule, items, Self::apply)?,
            Rule::Looks(rule) => self.run_on_permitted(&rule, items, Self::drop_stale)?,
            Rule::Missing(why) => awaiting(items, &why),
            Rule::Others => Vec::new(),
        };
        self.note(&outcomes)?;
        self.record(&outcomes)?;
        Ok(outcomes)
    }

    /// Those that no other transaction has locked, and are of this kind still. A transaction that has checked the token
    /// of a service that lives has it locked, too, and keeps it.
    pub fn lock(&self, tokens: Vec<i64>) -> Result<Vec<WorkItem>, Error> {
        self.lock_by(&sql::LOCK_WORK_TOKENS, tokens)
    }

    fn lock_by(&self, statement: &Statement, tokens: Vec<i64>) -> Result<Vec<WorkItem>, Error> {
        let of_the_living = arg(self.order.of_the_living());
        let locked = statement.run(&[arg(tokens), of_the_living], kind::read_held)?;
        Ok(kind::only(locked, self.kind))
    }

    /// Notes why work waits.
    pub fn note(&self, outcomes: &Outcomes) -> Result<(), Error> {
        let reasons = outcomes.iter().filter_map(|(_, outcome)| match outcome {
            WorkOutcome::Awaiting(why) => why.reason(),
            _ => None,
        });
        for reason in reasons.take(1) {
            self.order.explain(reason);
        }
        awaiting::note(outcomes)
    }

    /// A rule that fails even so fails on each resource.
    pub fn on_nothing(&self) -> Result<(), Error> {
        if let Rule::Changes(rule) | Rule::Looks(rule) = self.find()? {
            time_limit::restart(self.order.limit());
            rule.run(&[])?;
        }
        Ok(())
    }

    /// Looks up the rule, if its table is free. Otherwise each use of the table would wait.
    fn find(&self) -> Result<Rule, Error> {
        let kind = self.kind;
        let Some(resource) = Resource::find(&kind.resource_type)? else {
            return Ok(Rule::Missing(Awaiting::rule_missing(&kind.resource_type, None)));
        };
        let (target, mode) = (resource.target, pg_sys::RowExclusiveLock as i32);
        // SAFETY: a lock by a table's oid, which may be gone by now; the closure owns nothing.
        let is_free = unsafe { catching(|| raw::ConditionalLockRelationOid(target, mode))? };
        if !is_free && !sabotage::removed(Guard::LockedTable) {
            return Ok(Rule::Missing(Awaiting::table_locked(&conditional_update::relation_name(target))));
        }
        let owner = resource.owner(&kind.resource_type)?;
        if owner != self.order.owner() && !sabotage::removed(Guard::OwnProcess) {
            return Ok(Rule::Others);
        }
        Ok(match CrashRule::find(kind, resource, owner)? {
            Found::Locked(table) => Rule::Missing(Awaiting::table_locked(&table)),
            Found::Rule(rule) if rule.has_changes => Rule::Changes(rule),
            Found::Rule(rule) => Rule::Looks(rule),
        })
    }

    /// Work of a service waits if its role may not have the rule changed rows for it.
    fn run_on_permitted(
        &self,
        rule: &CrashRule,
        mut items: Vec<WorkItem>,
        run: impl FnOnce(&Self, &CrashRule, Vec<WorkItem>) -> Result<Outcomes, Error>,
    ) -> Result<Outcomes, Error> {
        let mut outcomes = Vec::new();
        for (services, error) in self.denied(rule, &items) {
            let (denied, others): (Vec<_>, _) = items.into_iter().partition(|item| services.contains(&item.service_id));
            let failure = Failure::of(&error, false);
            self.record_failure(&denied[0], &failure)?;
            outcomes.extend(awaiting(denied, &Awaiting::failed(&failure)));
            items = others;
        }
        if !items.is_empty() {
            time_limit::restart(self.order.limit());
            outcomes.extend(run(self, rule, items)?);
        }
        Ok(outcomes)
    }

    /// The services whose roles may not have the rule changed rows for them, by role, each with the reason.
    fn denied(&self, rule: &CrashRule, items: &[WorkItem]) -> Vec<(BTreeSet<i64>, Error)> {
        let mut by_role: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for item in items {
            by_role.entry(&item.holder.role).or_default().insert(item.service_id);
        }
        let denied = |(role, services): (&str, _)| {
            let role = owner::by_name(role).unwrap_or(Oid::INVALID);
            Some((services, rule.permits(&self.kind.resource_type, role).err()?))
        };
        by_role.into_iter().filter_map(denied).collect()
    }

    /// Removes items and runs the rule on their resources.
    fn apply(&self, rule: &CrashRule, items: Vec<WorkItem>) -> Result<Outcomes, Error> {
        let ids: Vec<&str> = items.iter().map(|item| item.resource_id.as_str()).collect();
        let is_locked = match sabotage::removed(Guard::LockedRows) {
            false => rule.lock(&ids)?,
            true => vec![false; ids.len()],
        };
        let free = || is_locked.iter().zip(&items).filter(|(locked, _)| !**locked).map(|(_, item)| item);
        kind::remove(free())?;
        let ids: Vec<&str> = free().map(|item| item.resource_id.as_str()).collect();
        let changed = match ids.is_empty() {
            true => Vec::new(),
            false => rule.run(&ids)?,
        };
        let mut changed = changed.into_iter();
        let outcome = |(locked, item)| match locked {
            true => (item, WorkOutcome::Awaiting(Awaiting::row_locked())),
            false if changed.next() == Some(true) => (item, WorkOutcome::Cleaned),
            false => (item, WorkOutcome::Stale),
        };
        Ok(is_locked.into_iter().zip(items).map(outcome).collect())
    }

    /// Without a rule work waits, unless its resource has moved on.
    fn drop_stale(&self, look: &CrashRule, items: Vec<WorkItem>) -> Result<Outcomes, Error> {
        let ids: Vec<&str> = items.iter().map(|item| item.resource_id.as_str()).collect();
        let in_status = look.run(&ids)?;
        let waits = WorkOutcome::Awaiting(Awaiting::rule_missing(&self.kind.resource_type, Some(&self.kind.status)));
        let outcome = |(item, in_status)| match in_status {
            true => (item, waits.clone()),
            false => (item, WorkOutcome::Stale),
        };
        let outcomes: Outcomes = items.into_iter().zip(in_status).map(outcome).collect();
        kind::remove(outcomes.iter().filter(|(_, outcome)| *outcome == WorkOutcome::Stale).map(|(item, _)| item))?;
        Ok(outcomes)
    }

    /// Records what was done for each service, or for an operator.
    fn record(&self, outcomes: &Outcomes) -> Result<(), Error> {
        if let Some(operator) = self.order.operator() {
            return outcomes.iter().try_for_each(|(item, outcome)| self.record_for(operator, item, outcome));
        }
        let mut tallies: BTreeMap<i64, Tally> = BTreeMap::new();
        for (item, outcome) in outcomes {
            tallies.entry(item.service_id).or_default().count(outcome.state());
        }
        let tables = Tables::open()?;
        for (service_id, tally) in tallies.into_iter().filter(|(_, tally)| tally.is_of_something()) {
            let registration = tables.registration(service_id)?;
            events::record(&Event {
                cluster: registration.as_ref().map(|service| service.cluster.as_str()),
                service_id: Some(service_id),
                details: json!({
                    "resource_type": self.kind.resource_type,
                    "status": self.kind.status,
                    "resources_cleaned": tally.resources_cleaned,
                    "resources_stale": tally.resources_stale,
                }),
                ..Event::of(EventKind::Cleaned)
            })?;
        }
        Ok(())
    }

    fn record_for(&self, operator: Oid, item: &WorkItem, outcome: &WorkOutcome) -> Result<(), Error> {
        if !outcome.state().is_done() {
            return Ok(());
        }
        let WorkKind { resource_type, status } = self.kind;
        events::record(&Event {
            role: Some(operator),
            cluster: Some(&item.holder.cluster),
            service_id: Some(item.service_id),
            resource: Some((resource_type, &item.resource_id)),
            lock: Some((&item.holder.lock_name, item.token)),
            details: json!({
                "status": status,
                "stale": *outcome == WorkOutcome::Stale,
                "taken_from_living": item.holder.is_unfenced,
            }),
            ..Event::of(EventKind::Repaired)
        })
    }

    pub fn record_failure(&self, first: &WorkItem, failure: &Failure) -> Result<(), Error> {
        let WorkKind { resource_type, status } = self.kind;
        events::record_failure(resource_type, &first.resource_id, status, failure)
    }
}

fn awaiting(items: Vec<WorkItem>, why: &Awaiting) -> Outcomes {
    let awaiting = |item| (item, WorkOutcome::Awaiting(why.clone()));
    items.into_iter().map(awaiting).collect()
}
