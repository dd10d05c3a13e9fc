//! The functions of an administrator: taking locks away, and granting the use of volguard. Each lock taken away leaves
//! an event.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::{Arg, arg, utility};
use crate::service::fence;
use crate::store::events::{self, Event, EventKind};
use crate::store::sql::{self, Statement};
use crate::store::{removal, spelling};
use pgrx::pg_extern;
use pgrx::pg_sys::{self, Oid};
use serde_json::{Value, json};
use std::ffi::{CStr, CString};

/// Whether the caller may take locks away from services that `registered_by` has registered.
fn may_take_from(registered_by: Oid) -> Result<bool, Error> {
    Ok(owner::caller_is(registered_by) || owner::caller_is(owner::role()?))
}

/// Deletes rows of `workers` and records an event for each, with `details` made from its status.
fn take_away(
    statement: &Statement,
    args: &[Arg],
    kind: EventKind,
    details: impl Fn(Option<String>) -> Value,
) -> Result<usize, Error> {
    let taken = removal::remove_reading(statement, args, |rows| {
        rows.each(|row| {
            let name = |column| rows.get::<String>(row, column);
            let names = [name(0)?, name(1)?, name(2)?, name(3)?];
            Some((names, rows.get(row, 5)?, rows.get(row, 6)?, name(7)))
        })
    })?;
    for ([cluster, resource_type, resource_id, lock_name], token, service_id, status) in &taken {
        events::record(&Event {
            cluster: Some(cluster),
            service_id: Some(*service_id),
            resource: Some((resource_type, resource_id)),
            lock: Some((lock_name, *token)),
            details: details(status.clone()),
            ..Event::of(kind)
        })?;
    }
    Ok(taken.len())
}

#[pg_extern(sql = false)]
fn force_release(token: Option<i64>, reason: Option<&str>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        let reason = argument::name("reason", reason)?;
        let Some(registered_by) = fence::registered_by(token)? else {
            return Ok(Some(false));
        };
        if !may_take_from(registered_by)? {
            return Err(fence::not_yours(token));
        }
        let released = take_away(
            &sql::FORCE_RELEASE,
            &[arg(token)],
            EventKind::Forced,
            |status| json!({"status": status, "reason": reason}),
        )?;
        Ok(Some(released == 1))
    })
}

#[pg_extern(sql = false)]
fn reset_resource(resource_type: Option<&str>, resource_id: Option<&str>) -> Option<i64> {
    verb(None, || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let resource_id = spelling::spell(resource_type, resource_id, "resource_id")?;
        let key = [arg(resource_type), arg(resource_id.as_ref())];
        let holders = sql::RESOURCE_OWNERS.run(&key, |rows| rows.each(|row| rows.get::<Oid>(row, 0)))?;
        for holder in holders {
            if !may_take_from(holder)? {
                return Err(Error::Denied {
                    what: format!("{resource_type} {resource_id} is held by a service of another role"),
                    hint: "Act as a member of the role that registered the service, or of the extension's owner.",
                });
            }
        }
        let deleted = take_away(&sql::RESET_RESOURCE, &key, EventKind::Reset, |status| json!({"status": status}))?;
        Ok(Some(deleted as i64))
    })
}

#[pg_extern(sql = false)]
fn grant_usage(role: Option<&CStr>) {
    verb((), || {
        let role = argument::required("role", role)?;
        if role.is_empty() {
            return Err(Error::invalid("role", "must not be empty", "Pass the name of a role."));
        }
        // PUBLIC is no role, but GRANT takes it for one, quoted or not.
        // SAFETY: a catalog lookup of a running transaction, with a C string that outlives it.
        if unsafe { pg_sys::get_role_oid(role.as_ptr(), true) } == Oid::INVALID {
            return Err(Error::Undefined {
                what: format!("role \"{}\" does not exist", role.to_string_lossy()),
                hint: "Create the role first.".to_owned(),
            });
        }
        if !owner::caller_is(owner::role()?) {
            return Err(Error::Denied {
                what: "permission denied to grant the use of volguard".to_owned(),
                hint: "Only the extension's owner, members of it and superusers can grant it.",
            });
        }
        let role = quoted(role);
        for what in [
            "USAGE ON SCHEMA volguard",
            "EXECUTE ON ALL FUNCTIONS IN SCHEMA volguard",
            "SELECT ON volguard.lock_status, volguard.service_status, volguard.cluster_status, volguard.event_log",
        ] {
            utility(&format!("GRANT {what} TO {role}"))?;
        }
        Ok(())
    });
}

fn quoted(name: &CStr) -> String {
    let name = CString::from(name);
    // SAFETY: a C string that outlives the call. The result is a C string in the call's memory, copied at once.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())) }.to_string_lossy().into_owned()
}

export! {
    volguard_force_release, pg_finfo_volguard_force_release => force_release_wrapper;
    volguard_reset_resource, pg_finfo_volguard_reset_resource => reset_resource_wrapper;
    volguard_grant_usage, pg_finfo_volguard_grant_usage => grant_usage_wrapper;
}
