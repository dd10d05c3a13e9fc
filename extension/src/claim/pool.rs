//! The work of a cluster's crashed services, and taking some of it.

use super::Claimed;
use crate::error::Error;
use crate::events::{self, Event};
use crate::fence::{self, Gate, Who};
use crate::repair::{Outcome, Repairs};
use crate::sabotage::{self, Guard};
use crate::spi::{Arg, arg};
use crate::{lock, owner, statements, token};
use serde_json::json;

/// A call ends after so many pieces of work that it had not to hand out, however many more there are: it is to be short.
const MOST_NOT_CLAIMED: usize = 1000;

/// What one claimer takes from.
pub struct Pool<'a> {
    claimer: i64,
    cluster: &'a str,
    resource_type: Option<&'a str>,
    max_rows: usize,
    repairs: Repairs,
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
    resource_type: String,
    resource_id: String,
    status: String,
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
            repairs: Repairs::default(),
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
        statements::CRASHED_SERVICES.run(&args, |rows| {
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
        let gate = Gate::of(service.service_id);
        if service.fenced {
            // Shared with other claims, and kept from the cleanup, which closes it.
            if !gate.try_enter()? {
                return Ok(());
            }
            if !self.take(service)? {
                gate.leave();
            }
        } else if close(&gate, service.service_id)? {
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
            let mut awaiting = Vec::with_capacity(work.len());
            for work in work {
                if self.awaits(&work)? {
                    awaiting.push(work.token);
                }
            }
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
            false => &statements::CLAIMABLE,
            true => &statements::CLAIMABLE_UNLOCKED,
        };
        let most = self.missing().min(MOST_NOT_CLAIMED) as i64;
        let args = [arg(service.service_id), self.resource_type(), arg(most)];
        statement.run(&args, |rows| {
            let work = |row| {
                Some(Work {
                    token: rows.get(row, 0)?,
                    resource_type: rows.get(row, 1)?,
                    resource_id: rows.get(row, 2)?,
                    status: rows.get(row, 3)?,
                })
            };
            (0..rows.len()).filter_map(work).collect()
        })
    }

    /// Is it to be handed out? A crash rule has precedence, and what there is no need for any more is dropped.
    fn awaits(&mut self, work: &Work) -> Result<bool, Error> {
        let outcome = self
            .repairs
            .repair(&work.resource_type, &work.resource_id, &work.status)?;
        match outcome {
            Outcome::Awaiting => return Ok(true),
            Outcome::Cleaned => self.cleaned += 1,
            Outcome::Stale => self.stale += 1,
        }
        lock::remove(&statements::FORCE_RELEASE, &[arg(work.token)])?;
        Ok(false)
    }

    fn hand_out(&mut self, tokens: Vec<i64>) -> Result<(), Error> {
        let args = [
            arg(self.claimer),
            arg(tokens),
            arg(token::epoch()?),
            arg(!sabotage::removed(Guard::ClaimToken)),
        ];
        let claimed = statements::CLAIM.run(&args, |rows| {
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
fn close(gate: &Gate, service_id: i64) -> Result<bool, Error> {
    if !gate.try_close()? {
        return Ok(false);
    }
    let late = statements::LOCK_LATE_SERVICE.count(&[arg(service_id)])? == 1;
    if late && fence::fence(service_id, Who::Dead)? {
        return Ok(true);
    }
    gate.reopen();
    Ok(false)
}
