//! What runs beside an update of a table, and whether only one role, or roles that have its privileges, decided on it.
//!
//! An update runs triggers with the rights of the role that updates. So it must not run, as the owner of the table or
//! as a superuser, what another role has put there, or can.

use crate::conditional_update::relation_name;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use pgrx::PgList;
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString, c_char};

/// An answer of [`on_tables`].
pub enum Trust {
    /// Each table is locked as an update locks it, so that it stays so until the transaction ends.
    Given,
    /// Another transaction has locked this table.
    Locked(String),
    /// Why not, and what to do.
    Refused(String, &'static str),
}

/// How far a look goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// The tables beside the first one are locked, without waiting, and looked at again.
    AtOnce,
    /// The same, with waiting.
    Waiting,
    /// A trigger may come right after the look.
    Nothing,
}

/// What is done with the table.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// These columns are set.
    Update(&'a [&'a str]),
    Read,
}

/// May `role` do this with the table? The table is locked already if the answer is to last.
pub fn on_tables(target: Oid, role: Oid, act: Act, locking: Locking) -> Result<Trust, Error> {
    let mut locked = vec![target];
    loop {
        let found = match look(target, role, act)? {
            Ok(tables) => tables,
            Err((problem, hint)) => return Ok(Trust::Refused(problem, hint)),
        };
        if locking == Locking::Nothing {
            return Ok(Trust::Given);
        }
        let before = locked.len();
        for table in found {
            if locked.contains(&table) {
                continue;
            }
            let mode = pg_sys::RowExclusiveLock as i32;
            // SAFETY: a lock by the table's oid; the closure owns nothing.
            let got = unsafe {
                catching(|| match locking {
                    Locking::AtOnce => raw::ConditionalLockRelationOid(table, mode),
                    _ => {
                        raw::LockRelationOid(table, mode);
                        true
                    }
                })?
            };
            if !got {
                return Ok(Trust::Locked(relation_name(table)));
            }
            locked.push(table);
        }
        if locked.len() == before || sabotage::removed(Guard::LookUnderLocks) {
            return Ok(Trust::Given);
        }
    }
}

/// The tables that the act touches, or the first thing of another role's.
fn look(target: Oid, role: Oid, act: Act) -> Result<Result<Vec<Oid>, (String, &'static str)>, Error> {
    let changed: Vec<String> = match act {
        Act::Update(changed) => changed.iter().map(|name| (*name).to_owned()).collect(),
        Act::Read => Vec::new(),
    };
    let found = sql::TOUCHED.run(&[arg(target), arg(role), arg(changed), arg(becoming())], |rows| {
        rows.each(|row| {
            let thing = rows.get::<i32>(row, 1).zip(rows.get::<String>(row, 2)).zip(rows.get::<String>(row, 3));
            Some((rows.get::<Oid>(row, 0)?, thing))
        })
    })?;
    let role = owner::name(role);
    for (_, thing) in &found {
        if let Some(((kind, what), other)) = thing
            // A query runs what belongs to a partition, but no trigger.
            && (*kind == 0 || matches!(act, Act::Update(_)))
            && !sabotage::removed(guard(*kind))
        {
            return Ok(Err(refusal(*kind, what, other, &role)));
        }
    }
    Ok(Ok(found.into_iter().map(|(table, _)| table).collect()))
}

/// The right to a role, beside its privileges, without which no code of another role may run as it. From Postgres 16 on
/// a membership may give the privileges without SET: then its member has neither the attributes of the role, such as
/// CREATEROLE, nor what the role may become in turn.
fn becoming() -> &'static str {
    match cfg!(feature = "pg15") || sabotage::removed(Guard::SetOption) {
        true => "USAGE",
        false => "SET",
    }
}

/// As [`sql::TOUCHED`] numbers them.
fn guard(kind: i32) -> Guard {
    match kind {
        1 => Guard::Cascade,
        2 => Guard::TriggerPrivilege,
        4 => Guard::RewriteRule,
        _ => Guard::RuleTriggers,
    }
}

fn refusal(kind: i32, what: &str, other: &str, role: &str) -> (String, &'static str) {
    let not_its = format!("is role {other}'s, which has not the privileges of {role}, or can't SET ROLE to it");
    match kind {
        0 => (
            format!("partition or child {what} {not_its}, the owner of the table"),
            "Have the table's owner, or a superuser, own the partition.",
        ),
        1 => (
            format!("a foreign key may pass the update on to {what}, which {not_its}"),
            "Drop the foreign key (or the constraint that it refers to, with CASCADE), leave the columns that it refers to out of the changes, or, if none is among these, drop the BEFORE triggers that could set them.",
        ),
        2 => (
            format!(
                "{other} may add triggers that run with the privileges of {role}: REVOKE TRIGGER ON {what} FROM {other}"
            ),
            "A trigger stays when the privilege goes: drop those that you don't know.",
        ),
        4 => (
            format!("rule {what} runs other statements beside the update"),
            "Use a trigger in place of the rule ON UPDATE.",
        ),
        _ => (
            format!("trigger {what} {not_its}, the owner of the table"),
            "Have the table's owner, or a superuser, own the trigger function, or disable the trigger.",
        ),
    }
}

/// The system catalogs, and volguard's own tables, are no resources: an update of them gives any right.
pub fn refuse_system_table(target: Oid) -> Result<(), Error> {
    // SAFETY: catalog lookups of a running transaction, which return zero for what doesn't exist.
    let ours = unsafe { pg_sys::get_rel_namespace(target) == pg_sys::get_namespace_oid(c"volguard".as_ptr(), true) };
    if (ours || target.to_u32() < pg_sys::FirstNormalObjectId) && !sabotage::removed(Guard::SystemTable) {
        return Err(Error::Denied {
            what: format!("{} is a system catalog, or volguard's own", relation_name(target)),
            hint: "Track a table of your own.",
        });
    }
    Ok(())
}

/// The search path of a rule that runs as `role`: of its schemas those that exist now, so that none is put in between
/// later. An error if another role could put code into one. The temporary schema goes last, so that temporary tables of
/// the cleaner's can't shadow others.
pub fn search_path(path: &str, role: Oid) -> Result<CString, Error> {
    let own = owner::name(role);
    let names: Vec<String> =
        split(path)?.into_iter().map(|name| if name == "$user" { own.clone() } else { name }).collect();
    let schemas = sql::SCHEMAS.run(&[arg(names), arg(role), arg(becoming())], |rows| {
        rows.each(|row| Some((rows.get::<String>(row, 0)?, rows.get::<String>(row, 1))))
    })?;
    let mut resolved = String::new();
    for (schema, other) in schemas {
        if let Some(other) = other
            && !sabotage::removed(Guard::RulePath)
        {
            return Err(Error::Denied {
                what: format!("{other} can create objects in schema {schema}, which is in the search_path of the rule"),
                hint: "REVOKE CREATE ON SCHEMA … FROM that role (from PUBLIC, where a database comes from Postgres 14), or call volguard.on_crash under a search_path whose schemas belong to the table's owner or to superusers.",
            });
        }
        resolved += &schema;
        resolved += ", ";
    }
    Ok(CString::new(resolved + "pg_temp").expect("a name has no NUL character"))
}

/// The names of a list as Postgres reads a `search_path`.
fn split(path: &str) -> Result<Vec<String>, Error> {
    let invalid = || Error::Unsupported {
        what: "the rule's search_path is no list of names".to_owned(),
        hint: "Call volguard.on_crash again to confirm the rule.",
    };
    let mut text = CString::new(path).map_err(|_| invalid())?.into_bytes_with_nul();
    // SAFETY: the function writes into the C string, of which the names in the list are parts; each is copied before
    // the string goes.
    unsafe {
        let mut list = std::ptr::null_mut();
        if !pg_sys::SplitIdentifierString(text.as_mut_ptr().cast(), b',' as c_char, &mut list) {
            return Err(invalid());
        }
        let names = PgList::<c_char>::from_pg(list);
        Ok(names.iter_ptr().map(|name| CStr::from_ptr(name).to_string_lossy().into_owned()).collect())
    }
}
