//! Repairing the work of a crashed service by its crash rule.

use crate::catch::attempt;
use crate::conditional_update::RulePlan;
use crate::error::Error;
use crate::owner::AsRole;
use crate::rule::{self, Resource};
use crate::search_path::SearchPath;
use crate::spi::arg;
use crate::{events, statements};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Oid};
use std::collections::HashMap;
use std::ffi::CString;
use std::rc::Rc;

/// What became of one piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule changed the resource.
    Cleaned,
    /// The resource has another status than the work, or is gone: somebody else has dealt with it.
    Stale,
    /// There is no rule, or it failed: the work waits.
    Awaiting,
}

/// The rules that one cleanup has needed so far.
#[derive(Default)]
pub struct Repairs(HashMap<(String, String), Option<Rc<Repair>>>);

/// How work in one status on one type of resource is dealt with.
struct Repair {
    plan: RulePlan,
    target: Oid,
    /// Has a rule; otherwise it is only looked whether the resource still has the status.
    has_rule: bool,
    role: Oid,
    search_path: CString,
}

impl Repairs {
    /// Deals with one piece of work. A rule that fails leaves it as it was, with a warning.
    pub fn repair(
        &mut self,
        resource_type: &str,
        resource_id: &str,
        status: &str,
    ) -> Result<Outcome, Error> {
        let key = (resource_type.to_owned(), status.to_owned());
        let tried = attempt(|| {
            let repair = match self.0.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let found = Repair::find(resource_type, status)?.map(Rc::new);
                    self.0.insert(key, found.clone());
                    found
                }
            };
            match repair {
                Some(repair) => repair.run(resource_id, status).map(Some),
                None => Ok(Some(Outcome::Awaiting)),
            }
        });
        match tried {
            Ok(outcome) => Ok(outcome.unwrap_or(Outcome::Awaiting)),
            Err(error) if interrupts(&error) => Err(error),
            Err(error) => {
                pgrx::warning!(
                    "volguard: the crash rule of {resource_type} in status {status} failed on {resource_id}: {error}"
                );
                events::record_failure(resource_type, resource_id, status, &error)?;
                Ok(Outcome::Awaiting)
            }
        }
    }
}

/// A cancel, a timeout or a deadlock is about the whole cleanup and no fault of the rule.
fn interrupts(error: &Error) -> bool {
    let code = error.sqlstate();
    code.starts_with(b"57") || code.starts_with(b"40") || code == *b"55P03"
}

impl Repair {
    /// `None` for a type that nobody tracks.
    fn find(resource_type: &str, status: &str) -> Result<Option<Self>, Error> {
        let Some(resource) = rule::resource(resource_type)? else {
            return Ok(None);
        };
        let rule = statements::RULE.run(&[arg(resource_type), arg(status)], |rows| {
            let path = CString::new(rows.get::<String>(0, 2)?).ok()?;
            Some((rows.get::<JsonB>(0, 0)?, rows.get::<Oid>(0, 1)?, path))
        })?;
        let Resource {
            target,
            id_column,
            status_column,
            registered_by,
        } = resource;
        let (id, state) = (id_column.to_string_lossy(), status_column.to_string_lossy());
        let (values, role, search_path) = match rule {
            Some((values, role, path)) => (Some(values.0), role, path),
            None => (None, registered_by, SearchPath::OURS.to_owned()),
        };
        let _role = AsRole::restricted(role);
        Ok(Some(Repair {
            target,
            has_rule: values.is_some(),
            plan: RulePlan::prepare(target, values.as_ref(), &id, &state)?,
            role,
            search_path,
        }))
    }

    fn run(&self, resource_id: &str, status: &str) -> Result<Outcome, Error> {
        let _role = AsRole::restricted(self.role);
        let _path = SearchPath::set(&self.search_path);
        let matched = self.plan.run(resource_id, status)?;
        match (matched, self.has_rule) {
            (0, _) if self.may_be_hidden() => Err(Error::Unsupported {
                what: "row-level security may hide the resource from the rule's role".to_owned(),
                hint: "Register the rule as a role that sees every row.",
            }),
            (0, _) => Ok(Outcome::Stale),
            (_, false) => Ok(Outcome::Awaiting),
            (1, true) => Ok(Outcome::Cleaned),
            (several, true) => Err(Error::Ambiguous {
                what: format!("{several} rows have that id"),
                hint: "The id column must identify one row.",
            }),
        }
    }

    /// To the rule's role, a row that a policy hides looks as if it were gone.
    fn may_be_hidden(&self) -> bool {
        // SAFETY: a catalog look-up of a running transaction, as the rule's role.
        let security = unsafe { pg_sys::check_enable_rls(self.target, Oid::INVALID, true) };
        security == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}
