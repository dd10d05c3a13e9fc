//! Tracked resources and their crash rules: registering them, finding them, running a rule.

use super::kind::WorkKind;
use crate::conditional_update::{self, Column, RulePlan, Table};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::overrides::Overrides;
use crate::pg::owner::{self, AsRole};
use crate::pg::spi::arg;
use crate::store::spelling::{self, Spelling};
use crate::store::sql;
use crate::store::tracked::Resource;
use pgrx::pg_sys::{self, Oid};
use pgrx::{AnyElement, JsonB, pg_extern};
use std::ffi::{CStr, CString};

/// For our own SQL. The temporary schema comes last, so that it shadows nothing.
const OUR_SEARCH_PATH: &CStr = c"pg_catalog, pg_temp";

/// What a crash makes of resources whose operation was in one status.
pub struct CrashRule {
    plan: RulePlan,
    target: Oid,
    /// Otherwise it only finds which resources still have the status.
    pub has_changes: bool,
    role: Oid,
    search_path: CString,
}

impl CrashRule {
    /// `None` for a type that isn't tracked.
    pub fn find(kind: &WorkKind) -> Result<Option<Self>, Error> {
        let (resource_type, status) = (kind.resource_type.as_str(), kind.status.as_str());
        let Some(resource) = Resource::find(resource_type)? else {
            return Ok(None);
        };
        let rule = sql::RULE.run(&[arg(resource_type), arg(status)], |rows| {
            let path = CString::new(rows.get::<String>(0, 2)?).ok()?;
            Some((rows.get::<JsonB>(0, 0)?, rows.get::<Oid>(0, 1)?, path))
        })?;
        let (changes, role, search_path) = match rule {
            Some((changes, role, path)) => (Some(changes.0), role, path),
            None => (None, resource.registered_by, OUR_SEARCH_PATH.to_owned()),
        };
        let target = resource.target;
        let id_column = resource.id_column.to_string_lossy();
        let status_column = resource.status_column.to_string_lossy();
        let _role = AsRole::restricted(role);
        Ok(Some(CrashRule {
            plan: RulePlan::prepare(target, changes.as_ref(), &id_column, &status_column, status)?,
            target,
            has_changes: changes.is_some(),
            role,
            search_path,
        }))
    }

    /// Changes the resources that still have the status, or just finds them. Returns for each id whether it was one.
    /// If it fails some may have been changed: undo it then.
    pub fn run(&self, resource_ids: &[&str]) -> Result<Vec<bool>, Error> {
        let _role = AsRole::restricted(self.role);
        let _path = Overrides::begin().set(c"search_path", &self.search_path);
        let found = self.plan.run(resource_ids)?;
        if found.contains(&false) && self.may_be_hidden() {
            return Err(Error::Unsupported {
                what: "row-level security may hide the resource from the rule's role".to_owned(),
                hint: "Register the rule as a role that sees every row.",
            });
        }
        Ok(found)
    }

    /// To the rule's role, a row that a policy hides seems to be gone.
    fn may_be_hidden(&self) -> bool {
        // SAFETY: a catalog lookup of a running transaction, as the rule's role.
        let security = unsafe { pg_sys::check_enable_rls(self.target, Oid::INVALID, true) };
        security == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}

#[pg_extern(sql = false)]
fn track_resource(
    resource_type: Option<&str>,
    target: Option<Oid>,
    id_column: Option<&CStr>,
    status_column: Option<&CStr>,
) {
    verb((), || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let target = argument::required("target", target)?;
        let (id_column, status_column) = (id_column.unwrap_or(c"id"), status_column.unwrap_or(c"status"));
        let table = require_table(target)?;
        let spelling = spelling(&table.column(&id_column.to_string_lossy(), &"id_column")?)?;
        table.column(&status_column.to_string_lossy(), &"status_column")?;
        if id_column == status_column {
            let problem = "is the id column as well";
            let hint = "Name two columns: the one that identifies the resource, and its status.";
            return Err(Error::invalid("status_column", problem, hint));
        }
        let tracked = sql::TRACK_RESOURCE.count(&[
            arg(resource_type),
            arg(target),
            arg(id_column),
            arg(status_column),
            arg(owner::caller()),
            arg(spelling.0),
        ])?;
        match tracked {
            0 => Err(tracked_by_another(resource_type)),
            _ => spelling::check_locks(resource_type, spelling),
        }
    });
}

fn spelling(id_column: &Column) -> Result<Spelling, Error> {
    let type_name = conditional_update::type_name(id_column.type_oid);
    Spelling::by(id_column.type_oid, id_column.collation).ok_or_else(|| Error::Invalid {
        argument: "id_column",
        problem: format!("is of type {type_name}, whose equal values may have different texts"),
        hint: "Name a column of type smallint, integer, bigint, uuid, text, varchar, char(n), name, bytea, inet or oid, with a deterministic collation.",
    })
}

/// A rule runs with its registrar's privileges on the tracked table, so no other role may move it to another table.
fn tracked_by_another(resource_type: &str) -> Error {
    Error::Denied {
        what: format!("resource type {resource_type} is tracked by another role"),
        hint: "Act as the role that called volguard.track_resource for it, or as a member of it.",
    }
}

/// A crash rule updates the table as its registrar, who must be able to, from whatever session cleans up.
fn require_table(target: Oid) -> Result<Table, Error> {
    let table = Table::open(target)?;
    // SAFETY: catalog lookups of a running transaction, about a table that is open.
    let (persistence, granted) = unsafe {
        let wanted = (pg_sys::ACL_SELECT | pg_sys::ACL_UPDATE) as pg_sys::AclMode;
        let all = pg_sys::AclMaskHow::ACLMASK_ALL;
        let mask = pg_sys::pg_class_aclmask(target, owner::caller(), wanted, all);
        (pg_sys::get_rel_persistence(target) as u8, mask == wanted)
    };
    if persistence == pg_sys::RELPERSISTENCE_TEMP {
        let hint = "Track a table that every session sees.";
        return Err(Error::invalid("target", "is a temporary table", hint));
    }
    if !granted {
        return Err(Error::Denied {
            what: format!("permission denied for table {}", table.name),
            hint: "Crash rules need SELECT and UPDATE on the table; ask its owner to grant them.",
        });
    }
    Ok(table)
}

#[pg_extern(sql = false)]
fn on_crash(resource_type: Option<&str>, status: Option<&str>, changes: Option<AnyElement>) {
    verb((), || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let status = argument::name("status", status)?;
        let resource = Resource::find(resource_type)?.ok_or_else(|| Error::Undefined {
            what: format!("resource type {resource_type} is not tracked"),
            hint: "Call volguard.track_resource first: a rule needs the table that it repairs.".to_owned(),
        })?;
        if !owner::caller_is(resource.registered_by) {
            return Err(tracked_by_another(resource_type));
        }
        let Some(changes) = changes else {
            sql::DROP_RULE.count(&[arg(resource_type), arg(status)])?;
            return Ok(());
        };
        require_table(resource.target)?;
        let id_column = resource.id_column.to_string_lossy();
        // SAFETY: declared as a jsonb.
        unsafe { conditional_update::validate_changes(resource.target, changes.datum(), &id_column)? };
        sql::SET_RULE.count(&[
            arg(resource_type),
            arg(status),
            Some(changes.datum()),
            arg(owner::caller()),
            arg(search_path()),
        ])?;
        Ok(())
    });
}

/// Triggers that a rule fires find the names that they found when the rule was made, in whatever session the cleanup
/// runs. The temporary schema goes last, so that the cleaner's temporary tables can't shadow theirs.
fn search_path() -> String {
    // SAFETY: a setting that exists; its value is copied at once.
    let path = unsafe {
        let value = pg_sys::GetConfigOption(c"search_path".as_ptr(), false, false);
        CStr::from_ptr(value).to_string_lossy().into_owned()
    };
    let names_temporary = path.split(',').any(|name| name.trim() == "pg_temp");
    match path.trim() {
        "" => "pg_temp".to_owned(),
        _ if names_temporary => path,
        path => format!("{path}, pg_temp"),
    }
}

export! {
    volguard_track_resource, pg_finfo_volguard_track_resource => track_resource_wrapper;
    volguard_on_crash, pg_finfo_volguard_on_crash => on_crash_wrapper;
}
