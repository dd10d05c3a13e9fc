//! The cluster, the role and the host of a service, which never change, remembered by each backend.

use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::owner::{self, Right};
use crate::store::liveness::Liveness;
use crate::store::tables::Tables;
use pgrx::pg_sys::Oid;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// How many services a backend remembers. Beyond that it forgets all of them.
const REMEMBERED: usize = 4096;

/// What never changes about a service. The role by its name, which is looked up at each use.
#[derive(Clone, Debug)]
struct Identity {
    cluster: Rc<str>,
    registered_by: Rc<str>,
    host: Rc<str>,
}

/// A service for which the caller may act.
#[derive(Clone, Debug)]
pub struct Acting {
    pub cluster: Rc<str>,
    pub registered_by: Rc<str>,
    pub host: Rc<str>,
    pub right: Right,
}

thread_local! {
    static IDENTITIES: RefCell<HashMap<i64, Identity>> = RefCell::default();
    /// The generation of our tables in which they were looked up.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// The service, if the caller may act for it. Whether it is fenced, the statement that follows must check.
pub fn acting_for(service_id: i64) -> Result<Acting, Error> {
    if GENERATION.replace(owner::tables_generation()) != owner::tables_generation() {
        IDENTITIES.with_borrow_mut(HashMap::clear);
    }
    let known = IDENTITIES.with_borrow(|known| known.get(&service_id).cloned());
    let identity = match known {
        Some(identity) => identity,
        None => look_up(service_id)?,
    };
    match owner::right_to(&identity.registered_by) {
        Some(right) => {
            Ok(Acting { cluster: identity.cluster, registered_by: identity.registered_by, host: identity.host, right })
        }
        None => Err(Error::Denied {
            what: format!("service {service_id} belongs to another role"),
            hint: "Act as the role that registered the service, or as a member of it.",
        }),
    }
}

impl Acting {
    /// The role that registered the service; zero if it is gone.
    pub fn role(&self) -> Oid {
        owner::by_name(&self.registered_by).unwrap_or(Oid::INVALID)
    }
}

fn look_up(service_id: i64) -> Result<Identity, Error> {
    let found = lookup_locks::given_back(|| Tables::open()?.registration(service_id))?;
    let found = found.ok_or(Error::ServiceFenced(service_id))?;
    let identity =
        Identity { cluster: found.cluster.into(), registered_by: found.registered_by.into(), host: found.host.into() };
    IDENTITIES.with_borrow_mut(|known| {
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(service_id, identity.clone());
    });
    Ok(identity)
}

/// Refuses a fenced service. Only under the service lock, so that the answer is true until the commit.
pub fn require_unfenced(service_id: i64) -> Result<(), Error> {
    match Tables::open()?.liveness(service_id)? {
        Liveness::Fenced => Err(Error::ServiceFenced(service_id)),
        _ => Ok(()),
    }
}
