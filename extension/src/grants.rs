//! Granting the use of volguard, by lists of names: each function is for everyone who uses volguard, or for operators,
//! or for monitoring.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::{arg, utility};
use crate::store::sql;
use pgrx::pg_extern;
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString};

/// The ordinary verbs.
const USAGE: [&str; 29] = [
    "abandon_cleanup",
    "acquire",
    "acquire_all",
    "any_of",
    "assert_held",
    "auto_cleanup",
    "cancel_work",
    "claim_cleanup",
    "cleanup",
    "conditional_update",
    "deregister_service",
    "finish_cleanup",
    "finish_work",
    "grant_submit",
    "heartbeat",
    "next_work",
    "none_of",
    "pass_work",
    "reconcile",
    "register_service",
    "release",
    "release_all",
    "release_requests",
    "revoke_submit",
    "run_cleanup",
    "set_status",
    "start_work",
    "submit_work",
    "update_service",
];

/// What sets things up, and what takes something away from others. Who may call one of these needs no other right for
/// it, but for the three that make code run as the owner of a table.
const OPERATOR: [&str; 10] = [
    "fence_service",
    "force_release",
    "on_crash",
    "remove_cluster",
    "repair",
    "reset_resource",
    "set_cluster_disabled",
    "set_cluster_owner",
    "track_resource",
    "untrack_resource",
];

/// What only looks, beside the views.
const MONITORING: [&str; 3] = ["wait_queue", "waiting", "why"];

#[pg_extern(sql = false)]
fn grant_usage(role: Option<&CStr>) {
    verb((), || grant(role, &[&USAGE, &MONITORING]));
}

#[pg_extern(sql = false)]
fn grant_operator(role: Option<&CStr>) {
    verb((), || grant(role, &[&USAGE, &OPERATOR, &MONITORING]));
}

#[pg_extern(sql = false)]
fn grant_monitoring(role: Option<&CStr>) {
    verb((), || grant(role, &[&MONITORING]));
}

/// Grants the functions of the lists that this version has, and all views.
fn grant(role: Option<&CStr>, lists: &[&[&str]]) -> Result<(), Error> {
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
    utility(&format!("GRANT USAGE ON SCHEMA volguard TO {role}"))?;
    let names: Vec<String> = lists.concat().into_iter().map(str::to_owned).collect();
    let routines = sql::OUR_ROUTINES.run(&[arg(names)], |rows| rows.each(|row| rows.get::<String>(row, 0)))?;
    if !routines.is_empty() {
        utility(&format!("GRANT EXECUTE ON ROUTINE {} TO {role}", routines.join(", ")))?;
    }
    let views = sql::OUR_VIEWS.run(&[], |rows| rows.each(|row| rows.get::<String>(row, 0)))?;
    utility(&format!("GRANT SELECT ON {} TO {role}", views.join(", ")))
}

fn quoted(name: &CStr) -> String {
    let name = CString::from(name);
    // SAFETY: a C string that outlives the call. The result is a C string in the call's memory, copied at once.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())) }.to_string_lossy().into_owned()
}

export! {
    volguard_grant_usage, pg_finfo_volguard_grant_usage => grant_usage_wrapper;
    volguard_grant_operator, pg_finfo_volguard_grant_operator => grant_operator_wrapper;
    volguard_grant_monitoring, pg_finfo_volguard_grant_monitoring => grant_monitoring_wrapper;
}
