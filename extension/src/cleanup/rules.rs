//! Registering tracked resources and their crash rules.

use crate::conditional_update::{self, Table};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::store::sql;
use pgrx::pg_sys::{self, Oid};
use pgrx::{AnyElement, pg_extern};
use std::ffi::{CStr, CString};

/// The table that holds the resources of a type.
pub struct Resource {
    pub target: Oid,
    pub id_column: CString,
    pub status_column: CString,
    pub registered_by: Oid,
}

/// Looks a type up; `None` if nobody tracks it.
pub fn resource(resource_type: &str) -> Result<Option<Resource>, Error> {
    sql::RESOURCE.run(&[arg(resource_type)], |rows| {
        let name = |column| rows.get::<&CStr>(0, column).map(CString::from);
        Some(Resource {
            target: rows.get(0, 0)?,
            id_column: name(1)?,
            status_column: name(2)?,
            registered_by: rows.get(0, 3)?,
        })
    })
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
        let id_column = argument::required("id_column", id_column)?;
        let status_column = argument::required("status_column", status_column)?;
        let table = require_table(target)?;
        table.column(&id_column.to_string_lossy(), &"id_column")?;
        table.column(&status_column.to_string_lossy(), &"status_column")?;
        if id_column == status_column {
            let hint = "Name two columns: the one that identifies the resource, and its status.";
            return Err(Error::invalid(
                "status_column",
                "is the id column as well",
                hint,
            ));
        }
        let tracked = sql::TRACK_RESOURCE.count(&[
            arg(resource_type),
            arg(target),
            arg(id_column),
            arg(status_column),
            arg(owner::caller()),
        ])?;
        if tracked == 0 {
            return Err(tracked_by_another(resource_type));
        }
        Ok(())
    });
}

/// A rule runs with its registrar's privileges on the table that is tracked, so nobody else may point it elsewhere.
fn tracked_by_another(resource_type: &str) -> Error {
    Error::Denied {
        what: format!("resource type {resource_type} is tracked by another role"),
        hint: "Act as the role that called volguard.track_resource for it, or as a member of it.",
    }
}

/// A crash rule will update the table as its registrar, who must be able to, from whatever session cleans up.
fn require_table(target: Oid) -> Result<Table, Error> {
    let table = Table::open(target)?;
    // SAFETY: catalog look-ups of a running transaction, about a table that is open.
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
        let resource = resource(resource_type)?.ok_or_else(|| Error::Undefined {
            what: format!("resource type {resource_type} is not tracked"),
            hint: "Call volguard.track_resource first: a rule needs the table that it repairs."
                .to_owned(),
        })?;
        if !owner::caller_is(resource.registered_by) {
            return Err(tracked_by_another(resource_type));
        }
        let Some(changes) = changes else {
            sql::DROP_RULE.count(&[arg(resource_type), arg(status)])?;
            return Ok(());
        };
        require_table(resource.target)?;
        // SAFETY: declared as a jsonb.
        unsafe { conditional_update::validate_changes(resource.target, changes.datum())? };
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

/// Triggers that a rule fires find the names that they found when the rule was made, whoever runs the cleanup.
/// The temporary schema goes last, so that the cleaner's temporary tables can't shadow theirs.
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
