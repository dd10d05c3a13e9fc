//! Who may work on the resources of a tracked type.
//!
//! Work is a standing order to change a row: when its service crashes, the crash rule changes it with the rights of the
//! table's owner. So the role that registered the service must be allowed to change the row's status itself, when the
//! work begins and when the rule runs.

use crate::conditional_update::relation_name;
use crate::pg::error::Error;
use crate::pg::owner;
use crate::sabotage::{self, Guard};
use crate::store::tracked::{Resource, no_table};
use pgrx::pg_sys::{self, AclMode, AclResult, Oid};
use std::ffi::CStr;

/// The role must be allowed to update the status column of the table.
pub fn to_update(resource_type: &str, target: Oid, status_column: &CStr, role: Oid) -> Result<(), Error> {
    if sabotage::removed(Guard::WorkPermission) {
        return Ok(());
    }
    let name = owner::name(role);
    if name.is_empty() {
        return Err(Error::Denied {
            what: "the service, or the role that registered it, does not exist any more".to_owned(),
            hint: "Let a service of another role claim the work, or forget it with volguard.reset_resource.",
        });
    }
    let number = column(resource_type, target, status_column)?;
    let (update, mut is_missing) = (pg_sys::ACL_UPDATE as AclMode, false);
    // SAFETY: catalog lookups of a running transaction; they say when the table is missing.
    let granted = unsafe {
        pg_sys::pg_class_aclcheck_ext(target, role, update, &mut is_missing) == AclResult::ACLCHECK_OK
            || pg_sys::pg_attribute_aclcheck_ext(target, number, role, update, &mut is_missing)
                == AclResult::ACLCHECK_OK
    };
    match granted {
        true => Ok(()),
        false => Err(Error::Denied {
            what: format!(
                "role {name} may not update column {} of {}, in which {resource_type} is tracked",
                status_column.to_string_lossy(),
                relation_name(target)
            ),
            hint: "Have the table's owner grant UPDATE on that column to that role.",
        }),
    }
}

/// A role that begins work by the resource's id alone must see, and be allowed to update, every row.
pub fn by_id(tracked: Option<&Resource>, resource_type: &str, role: Oid) -> Result<(), Error> {
    let Some(Resource { target, status_column, .. }) = tracked else {
        return Ok(());
    };
    to_update(resource_type, *target, status_column, role)?;
    to_see_all(*target, role)
}

/// No policy of the table applies to the role.
pub fn to_see_all(target: Oid, role: Oid) -> Result<(), Error> {
    // SAFETY: a catalog lookup of a running transaction.
    let security = unsafe { pg_sys::check_enable_rls(target, role, true) };
    if security == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32 && !sabotage::removed(Guard::WorkPermission) {
        return Err(Error::Denied {
            what: format!("row-level security of {} applies to role {}", relation_name(target), owner::name(role)),
            hint: "Begin the work with volguard.start_work: its update of the row passes through the policies. Submitted work is for services of roles that no policy applies to.",
        });
    }
    Ok(())
}

fn column(resource_type: &str, target: Oid, status_column: &CStr) -> Result<i16, Error> {
    // SAFETY: a catalog lookup of a running transaction, which returns zero for what doesn't exist.
    match unsafe { pg_sys::get_attnum(target, status_column.as_ptr()) } {
        number if number > 0 => Ok(number),
        _ if owner::of_relation(target).is_none() => Err(no_table(resource_type)),
        _ => Err(Error::Column {
            path: "resource_type".to_owned(),
            problem: format!(
                "{resource_type} is tracked by its status, and {} has no column \"{}\"",
                relation_name(target),
                status_column.to_string_lossy()
            ),
            hint: "Call volguard.track_resource with the columns that the table has now.".to_owned(),
        }),
    }
}
