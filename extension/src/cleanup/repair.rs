//! What a crash makes of resources whose operation was in one status: their crash rule.

use super::rules::{self, Resource};
use crate::conditional_update::RulePlan;
use crate::pg::error::Error;
use crate::pg::owner::AsRole;
use crate::pg::search_path::SearchPath;
use crate::pg::spi::arg;
use crate::store::sql;
use pgrx::JsonB;
use pgrx::pg_sys::{self, Oid};
use std::ffi::CString;

/// How work in one status on one type of resource is dealt with.
pub struct Repair {
    plan: RulePlan,
    target: Oid,
    /// Otherwise it is only looked whether the resources still have the status.
    pub has_rule: bool,
    role: Oid,
    search_path: CString,
}

impl Repair {
    /// `None` for a type that nobody tracks.
    pub fn find(resource_type: &str, status: &str) -> Result<Option<Self>, Error> {
        let Some(resource) = rules::resource(resource_type)? else {
            return Ok(None);
        };
        let rule = sql::RULE.run(&[arg(resource_type), arg(status)], |rows| {
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
        let (changes, role, search_path) = match rule {
            Some((changes, role, path)) => (Some(changes.0), role, path),
            None => (None, registered_by, SearchPath::OURS.to_owned()),
        };
        let _role = AsRole::restricted(role);
        Ok(Some(Repair {
            target,
            has_rule: changes.is_some(),
            plan: RulePlan::prepare(target, changes.as_ref(), &id, &state, status)?,
            role,
            search_path,
        }))
    }

    /// Has the rule change the resources that are still in the status, or just looks which are. Returns for each whether it was:
    /// otherwise it is gone, or somebody else has dealt with it. If it fails some may have been changed: undo it then.
    pub fn run(&self, resource_ids: &[&str]) -> Result<Vec<bool>, Error> {
        let _role = AsRole::restricted(self.role);
        let _path = SearchPath::set(&self.search_path);
        let found = self.plan.run(resource_ids)?;
        if found.contains(&false) && self.may_be_hidden() {
            return Err(Error::Unsupported {
                what: "row-level security may hide the resource from the rule's role".to_owned(),
                hint: "Register the rule as a role that sees every row.",
            });
        }
        Ok(found)
    }

    /// To the rule's role, a row that a policy hides looks as if it were gone.
    fn may_be_hidden(&self) -> bool {
        // SAFETY: a catalog look-up of a running transaction, as the rule's role.
        let security = unsafe { pg_sys::check_enable_rls(self.target, Oid::INVALID, true) };
        security == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}

/// A cancel, a timeout or a deadlock is about the whole cleanup and no fault of the rule.
pub fn interrupts(error: &Error) -> bool {
    let code = error.sqlstate();
    code.starts_with(b"57") || code.starts_with(b"40") || code == *b"55P03"
}
