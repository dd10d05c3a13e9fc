//! Tracking and untracking of resource types. A type belongs to the owner of its table: no other role is stored.

use super::trust;
use crate::conditional_update::{self, Column, Table};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::spelling::{self, Spelling};
use crate::store::sql;
use crate::store::tables::Tables;
use crate::store::tracked::Resource;
use pgrx::pg_extern;
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

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
        let table = require_own_table(target)?;
        let spelling = spelling(&table.column(&id_column.to_string_lossy(), &"id_column")?)?;
        table.column(&status_column.to_string_lossy(), &"status_column")?;
        if id_column == status_column {
            let problem = "is the id column as well";
            let hint = "Name two columns: the one that identifies the resource, and its status.";
            return Err(Error::invalid("status_column", problem, hint));
        }
        let earlier = Resource::find(resource_type)?;
        let has_owner = earlier.is_some_and(|earlier| owner::of_relation(earlier.target).is_some());
        let tracked = sql::TRACK_RESOURCE.count(&[
            arg(resource_type),
            arg(target),
            arg(id_column),
            arg(status_column),
            arg(owner::caller()),
            arg(spelling.0),
        ])?;
        if tracked == 0 {
            return Err(not_the_owner(resource_type));
        }
        if !has_owner {
            refuse_others_work(resource_type)?;
        }
        spelling::check_locks(resource_type, spelling)
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

/// The error for a caller that has not the privileges of the owner of a type's table.
pub fn not_the_owner(resource_type: &str) -> Error {
    Error::Denied {
        what: format!("resource type {resource_type} belongs to the owner of its table"),
        hint: "Act as the role that owns the table which the type is tracked in, or as a member of it.",
    }
}

/// A table that the caller could do anything with anyhow: it has the privileges of the owner.
pub fn require_own_table(target: Oid) -> Result<Table, Error> {
    let table = Table::open(target)?;
    trust::refuse_system_table(target)?;
    // SAFETY: a catalog lookup of a running transaction, about a table that is open.
    if unsafe { pg_sys::get_rel_persistence(target) } as u8 == pg_sys::RELPERSISTENCE_TEMP {
        let hint = "Track a table that every session sees.";
        return Err(Error::invalid("target", "is a temporary table", hint));
    }
    match owner::of_relation(target) {
        Some(role) if owner::caller_is(role) || sabotage::removed(Guard::TypeOwner) => Ok(table),
        _ => Err(Error::Denied {
            what: format!("must be owner of table {}", table.name),
            hint: "Crash rules run as the owner of the table, so only that role and its members set them.",
        }),
    }
}

/// In a table that the holders of work in progress don't know, their resources are missing: a cleanup would drop that
/// work as stale.
fn refuse_others_work(resource_type: &str) -> Result<(), Error> {
    if sabotage::removed(Guard::OthersWork) {
        return Ok(());
    }
    let (services, submitters) = spelling::at_work(resource_type)?;
    let tables = Tables::open()?;
    for service in services {
        // A service without a row counts as that of a role that is gone.
        let service = tables.registration(service)?;
        let role = service.and_then(|service| owner::by_name(&service.registered_by)).unwrap_or(Oid::INVALID);
        if !owner::caller_is(role) {
            return Err(Error::Denied {
                what: format!("services of another role have work in progress on resources of type {resource_type}"),
                hint: "Let that work end, or act as a member of the roles that registered these services.",
            });
        }
    }
    match submitters.iter().all(|role| owner::caller_is_named(role)) {
        true => Ok(()),
        false => Err(Error::Denied {
            what: format!("work that another role has submitted waits on resources of type {resource_type}"),
            hint: "Let that work end, or act as a member of the roles that submitted it.",
        }),
    }
}

#[pg_extern(sql = false)]
fn untrack_resource(resource_type: Option<&str>) {
    verb((), || {
        let resource_type = argument::name("resource_type", resource_type)?;
        if sql::UNTRACK_RESOURCE.count(&[arg(resource_type), arg(owner::caller())])? > 0 {
            return Ok(());
        }
        match Resource::find(resource_type)? {
            Some(_) => Err(not_the_owner(resource_type)),
            None => Err(not_tracked(resource_type)),
        }
    });
}

/// The error for a type that isn't tracked.
pub fn not_tracked(resource_type: &str) -> Error {
    Error::Undefined {
        what: format!("resource type {resource_type} is not tracked"),
        hint: "Call volguard.track_resource first: a rule needs the table that it repairs.".to_owned(),
    }
}

export! {
    volguard_track_resource, pg_finfo_volguard_track_resource => track_resource_wrapper;
    volguard_untrack_resource, pg_finfo_volguard_untrack_resource => untrack_resource_wrapper;
}
