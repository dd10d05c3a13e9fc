//! The first half of a cleanup: dead services are fenced, and their plain locks are freed.
//!
//! It waits for no lock of another transaction. A service whose lock, or whose row, is taken is busy, and left.

use super::selection::{DeadService, Selection};
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::log;
use crate::pg::lookup_locks;
use crate::pg::settings;
use crate::pg::spi::{Rows, arg};
use crate::pg::time_limit;
use crate::service::fence::{self, FenceReason};
use crate::service::service_lock::ServiceLock;
use crate::store::liveness::Liveness;
use crate::store::tables::Tables;
use crate::store::{removal, sql};
use std::collections::{BTreeMap, HashSet};

/// So many services are fenced by one statement. If it fails they are fenced one by one.
const AT_ONCE: usize = 50;

/// The code of "out of shared memory", which a full lock table raises.
pub const OUT_OF_MEMORY: [u8; 5] = *b"53200";

/// What the first half did.
#[derive(Debug, Default)]
pub struct Fences {
    pub fenced: HashSet<i64>,
    pub busy: HashSet<i64>,
    /// How many plain locks of which service were freed.
    pub freed: BTreeMap<i64, i64>,
    /// Some services or plain locks were not come to.
    pub unfinished: bool,
}

/// What one statement did.
#[derive(Default)]
struct Fenced {
    fenced: Vec<i64>,
    busy: Vec<i64>,
}

impl Fences {
    pub fn has_done_nothing(&self) -> bool {
        self.fenced.is_empty() && self.freed.is_empty()
    }

    /// Fences services, `most` at the longest.
    pub fn fence(&mut self, late: &[&DeadService], most: usize) -> Result<(), Error> {
        let mut todo: Vec<&[&DeadService]> = late.chunks(AT_ONCE.min(most)).rev().collect();
        while let Some(services) = todo.pop() {
            if self.fenced.len() + services.len() > most {
                self.unfinished = true;
                break;
            }
            // A trigger of an administrator may be on the table.
            let tried =
                time_limit::user_code(settings::rule_timeout(), || attempt(|| fence_at_once(services).map(Some)))?;
            match tried {
                Ok(done) => {
                    let done = done.unwrap_or_default();
                    self.fenced.extend(done.fenced);
                    self.busy.extend(done.busy);
                }
                // The locks of these are given back, so that the rest of the call has some room.
                Err(failure) if services.len() > 1 && failure.error.sqlstate() == OUT_OF_MEMORY => {
                    todo.clear();
                    if self.fenced.is_empty() {
                        todo.push(&services[..services.len() / 2]);
                    }
                    self.unfinished = true;
                }
                Err(_) if services.len() > 1 => todo.extend(services.chunks(1).rev()),
                Err(failure) => {
                    let id = services[0].service_id;
                    let error = failure.error;
                    log::warning(&format!("fencing service {id} failed, and will be tried again: {error}"), None);
                }
            }
        }
        Ok(())
    }

    /// Frees plain locks, `most` at the longest.
    pub fn free_plain_locks(&mut self, selection: &Selection, services: Vec<i64>, most: usize) -> Result<(), Error> {
        if services.is_empty() {
            return Ok(());
        }
        let [services, resource_type, resource_id, until] = selection.scope(services);
        let parameters = [services, resource_type, resource_id, until, arg(most as i64)];
        let freed = time_limit::user_code(settings::rule_timeout(), || {
            let owners = |rows: &Rows| rows.each(|row| rows.get::<i64>(row, 6));
            attempt(|| removal::remove_reading(&sql::FREE_PLAIN_LOCKS, &parameters, owners).map(Some))
        })?;
        match freed {
            Ok(owners) => {
                let owners = owners.unwrap_or_default();
                self.unfinished |= owners.len() == most;
                for service_id in owners {
                    *self.freed.entry(service_id).or_default() += 1;
                }
            }
            Err(failure) => {
                log::warning(&format!("freeing plain locks failed, and will be tried again: {}", failure.error), None);
            }
        }
        Ok(())
    }
}

fn fence_at_once(services: &[&DeadService]) -> Result<Fenced, Error> {
    let mut done = Fenced::default();
    let mut locked = Vec::new();
    for service in services {
        let service_id = service.service_id;
        match ServiceLock::of(service_id).try_lock_exclusive()? {
            true => locked.push(service_id),
            false => done.busy.push(service_id),
        }
    }
    if locked.is_empty() {
        return Ok(done);
    }
    done.fenced = fence_late(&locked)?;
    for service_id in locked {
        if done.fenced.contains(&service_id) {
            continue;
        }
        // Its row is locked, as by a heartbeat that isn't committed; or it is alive again.
        ServiceLock::of(service_id).unlock_exclusive();
        let liveness = lookup_locks::given_back(|| Tables::open()?.liveness(service_id))?;
        if liveness == Liveness::Expired {
            done.busy.push(service_id);
        }
    }
    Ok(done)
}

/// Fences those of the services that are late and whose rows are free, under their exclusive service locks.
pub fn fence_late(services: &[i64]) -> Result<Vec<i64>, Error> {
    let lock = || sql::LOCK_LATE_SERVICES.run(&[arg(services.to_vec())], Rows::numbers);
    let late = lookup_locks::kept_if(lock, |late| !late.is_empty())?;
    match late.is_empty() {
        true => Ok(late),
        false => fence::fence_all(&late, FenceReason::Dead),
    }
}
