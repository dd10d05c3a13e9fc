//! Setting the crash rule of a status.

use super::rules;
use super::track_resource::{not_the_owner, not_tracked, require_own_table};
use super::trust;
use crate::conditional_update::{RulePlan, relation_name};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::overrides::Overrides;
use crate::pg::owner::{self, AsRole};
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::store::tracked::Resource;
use pgrx::pg_sys::{self, Datum};
use pgrx::{AnyElement, pg_extern};
use std::ffi::{CStr, CString};

#[pg_extern(sql = false)]
fn on_crash(resource_type: Option<&str>, status: Option<&str>, changes: Option<AnyElement>, retry: Option<i32>) {
    verb((), || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let status = argument::name("status", status)?;
        let retry = self::retry(retry)?;
        let resource = Resource::find(resource_type)?.ok_or_else(|| not_tracked(resource_type))?;
        if !owner::caller_is(resource.owner(resource_type)?) && !sabotage::removed(Guard::TypeOwner) {
            return Err(not_the_owner(resource_type));
        }
        match changes {
            None => sql::DROP_RULE.count(&[arg(resource_type), arg(status), arg(owner::caller())]).map(drop)?,
            // SAFETY: declared as a jsonb.
            Some(changes) => unsafe { set(resource_type, &resource, status, changes.datum(), retry)? },
        }
        sql::TRY_AT_ONCE.count(&[arg(resource_type), arg(status)])?;
        Ok(())
    });
}

/// How often submitted work is tried again.
fn retry(retry: Option<i32>) -> Result<i32, Error> {
    match retry.unwrap_or_default() {
        retry @ 0..=1000 => Ok(retry),
        _ => Err(Error::invalid("retry", "must be from 0 to 1000", "Pass how often the work is to be tried again.")),
    }
}

/// Reads the rule as it will be read when it runs: as the owner of the table, whose types may run code.
///
/// # Safety
/// `changes` is a jsonb.
unsafe fn set(resource_type: &str, resource: &Resource, status: &str, changes: Datum, retry: i32) -> Result<(), Error> {
    let (target, caller) = (resource.target, owner::caller());
    require_own_table(target)?;
    // The table is locked now, and its owner stays; the type may have moved meanwhile.
    let role = resource.owner(resource_type)?;
    let path = search_path();
    let resolved = trust::search_path(&path, role)?;
    {
        let _role = (!sabotage::removed(Guard::ReadAsOwner)).then(|| AsRole::restricted(role));
        // Its literals are read now as they will be then.
        let settings = rules::SETTINGS.into_iter();
        let settings = settings.fold(Overrides::begin(), |settings, (name, value)| settings.set(name, value));
        let _settings = settings.set(c"search_path", &resolved);
        let (id_column, status_column) =
            (resource.id_column.to_string_lossy(), resource.status_column.to_string_lossy());
        // SAFETY: the caller's promise.
        unsafe { RulePlan::validate(target, changes, &id_column, &status_column, status)? };
    }
    let owner = CString::new(owner::name(role)).expect("a name has no NUL character");
    let set = sql::SET_RULE.count(&[
        arg(resource_type),
        arg(status),
        Some(changes),
        arg(target),
        arg(owner.as_c_str()),
        arg(path),
        arg(caller),
        arg(sabotage::removed(Guard::SameTable)),
        arg(retry),
    ])?;
    match set {
        0 => Err(Error::Busy {
            what: format!("resource type {resource_type} is not tracked in {} any more", relation_name(target)),
            hint: "Call volguard.on_crash again, with the privileges of the owner of the table that it is tracked in now.",
        }),
        _ => Ok(()),
    }
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
    volguard_on_crash, pg_finfo_volguard_on_crash => on_crash_wrapper;
}
