//! The work of a cluster's crashed services, and taking some of it.

use super::claim_rules::{Outcome, Rules};
use super::claimed::Claimed;
use super::work::Kind;
use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::{Arg, arg};
use crate::sabotage::{self, Guard};
use crate::service::fence::{self, Who};
use crate::service::guard::ServiceLock;
use crate::store::events::{self, Event};
use crate::store::removal;
use crate::store::{sql, token};
use serde_json::json;
use std::collections::BTreeMap;

/// A call ends after so many pieces of work that it had not to hand out, however many more there are: it is to be short.
const MOST_NOT_CLAIMED: usize = 1000;

/// What one claimer takes from.
pub struct Pool<'a> {
    claimer: i64,
    cluster: &'a str,
    resource_type: Option<&'a str>,
    max_rows: usize,
    rules: Rules,
    claimed: Vec<Claimed>,
    /// Repaired by their crash rules after all.
    cleaned: usize,
    /// Dropped, because the resource is gone or has another status.
    stale: usize,
}

/// A service that is dead, or will be if nothing is heard of it.
struct Crashed {
    service_id: i64,
    fenced: bool,
}

/// Work that this transaction has locked.
struct Work {
    token: i64,
    resource_id: String,
    kind: Kind,
}

impl<'a> Pool<'a> {
    pub fn of(
        claimer: i64,
        cluster: &'a str,
        resource_type: Option<&'a str>,
        max_rows: usize,
    ) -> Self {
        Pool {
            claimer,
            cluster,
            resource_type,
            max_rows,
            rules: Rules::default(),
            claimed: Vec::new(),
            cleaned: 0,
            stale: 0,
        }
    }

    /// Takes as much as is wanted, and there.
    pub fn claim(mut self) -> Result<Vec<Claimed>, Error> {
        for service in self.crashed_services()? {
            if self.done() {
                break;
            }
            self.claim_from(&service)?;
        }
        if !self.claimed.is_empty() {
            token::make_durable();
        }
        self.report();
        Ok(self.claimed)
    }

    fn done(&self) -> bool {
        self.missing() == 0 || self.cleaned + self.stale >= MOST_NOT_CLAIMED
    }

    fn missing(&self) -> usize {
        self.max_rows.saturating_sub(self.claimed.len())
    }

    fn resource_type(&self) -> Arg {
        self.resource_type.and_then(arg)
    }

    fn crashed_services(&self) -> Result<Vec<Crashed>, Error> {
        let everybodys = owner::caller_is(owner::role()?);
        let args = [
            arg(self.claimer),
            arg(owner::caller()),
            arg(everybodys),
            self.resource_type(),
        ];
        sql::CRASHED_SERVICES.run(&args, |rows| {
            let crashed = |row| {
                Some(Crashed {
                    service_id: rows.get(row, 0)?,
                    fenced: rows.get(row, 1)?,
                })
            };
            (0..rows.len()).filter_map(crashed).collect()
        })
    }

    fn claim_from(&mut self, service: &Crashed) -> Result<(), Error> {
        let guard = ServiceLock::of(service.service_id);
        if service.fenced {
            // Shared with other claims, and kept from the cleanup, which closes it.
            if !guard.try_lock_shared()? {
                return Ok(());
            }
            if !self.take(service)? {
                guard.unlock_shared();
            }
        } else if close(&guard, service.service_id)? {
            self.take(service)?;
        }
        Ok(())
    }

    /// False if there was nothing to take, or to drop.
    fn take(&mut self, service: &Crashed) -> Result<bool, Error> {
        let (cleaned, stale) = (self.cleaned, self.stale);
        let mut any = false;
        while !self.done() {
            let work = self.claimable(service)?;
            if work.is_empty() {
                break;
            }
            any = true;
            let awaiting = self.sort_out(&work)?;
            if !awaiting.is_empty() {
                self.hand_out(awaiting)?;
            }
        }
        self.record(service, self.cleaned - cleaned, self.stale - stale)?;
        Ok(any)
    }

    /// Records what is dropped instead of handed out.
    fn record(&self, service: &Crashed, cleaned: usize, stale: usize) -> Result<(), Error> {
        if cleaned + stale == 0 {
            return Ok(());
        }
        events::record(&Event {
            cluster: Some(self.cluster),
            service_id: Some(service.service_id),
            details: json!({
                "claimer": self.claimer,
                "resources_cleaned": cleaned,
                "resources_stale": stale,
            }),
            ..Event::of(events::Kind::Cleaned)
        })
    }

    fn claimable(&self, service: &Crashed) -> Result<Vec<Work>, Error> {
        let statement = match sabotage::removed(Guard::ClaimLock) {
            false => &sql::CLAIMABLE,
            true => &sql::CLAIMABLE_UNLOCKED,
        };
        let most = self.missing().min(MOST_NOT_CLAIMED) as i64;
        let args = [arg(service.service_id), self.resource_type(), arg(most)];
        statement.run(&args, |rows| {
            let work = |row| {
                Some(Work {
                    token: rows.get(row, 0)?,
                    resource_id: rows.get(row, 2)?,
                    kind: Kind {
                        resource_type: rows.get(row, 1)?,
                        status: rows.get(row, 3)?,
                    },
                })
            };
            (0..rows.len()).filter_map(work).collect()
        })
    }

    /// The tokens of what is to be handed out. A crash rule has precedence, and what there is no need for any more is dropped.
    fn sort_out(&mut self, work: &[Work]) -> Result<Vec<i64>, Error> {
        // In the order of a cleanup, so that the two change rows of one table in the same order.
        let mut kinds: BTreeMap<&Kind, Vec<&Work>> = BTreeMap::new();
        for work in work {
            kinds.entry(&work.kind).or_default().push(work);
        }
        let mut awaiting = Vec::with_capacity(work.len());
        for (kind, work) in kinds {
            let ids: Vec<&str> = work.iter().map(|work| work.resource_id.as_str()).collect();
            for (work, outcome) in work.iter().zip(self.rules.apply(kind, &ids)?) {
                match outcome {
                    Outcome::Awaiting => {
                        awaiting.push(work.token);
                        continue;
                    }
                    Outcome::Cleaned => self.cleaned += 1,
                    Outcome::Stale => self.stale += 1,
                }
                removal::remove(&sql::FORCE_RELEASE, &[arg(work.token)])?;
            }
        }
        Ok(awaiting)
    }

    fn hand_out(&mut self, tokens: Vec<i64>) -> Result<(), Error> {
        let args = [
            arg(self.claimer),
            arg(tokens),
            arg(token::epoch()?),
            arg(!sabotage::removed(Guard::ClaimToken)),
        ];
        let claimed = sql::CLAIM.run(&args, |rows| {
            (0..rows.len())
                .filter_map(|row| Claimed::read(rows, row))
                .collect::<Vec<_>>()
        })?;
        self.claimed.extend(claimed);
        Ok(())
    }

    fn report(&self) {
        let Pool { cleaned, stale, .. } = self;
        if cleaned + stale > 0 {
            pgrx::notice!(
                "volguard: not claimed, but cleaned by crash rules: {cleaned}; forgotten, because the resource is gone or has another status: {stale}"
            );
        }
    }
}

/// Closes the gate of a service whose lease is over, and fences it. False, and nothing done, if somebody is in, or is at it,
/// or a heartbeat has come.
fn close(guard: &ServiceLock, service_id: i64) -> Result<bool, Error> {
    if !guard.try_lock_exclusive()? {
        return Ok(false);
    }
    let late = sql::LOCK_LATE_SERVICE.count(&[arg(service_id)])? == 1;
    if late && fence::fence(service_id, Who::Dead)? {
        return Ok(true);
    }
    guard.unlock_exclusive();
    Ok(false)
}
