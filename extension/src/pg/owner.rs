//! The owner of the extension's tables, and running as that role or another.
//!
//! A caller needs no privilege on volguard's tables. A statement on them runs as their owner: the role is switched for
//! that statement alone. A statement on the user's tables runs as the user.

use super::error::Error;
use super::syscache;
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the changes of the table `services`, such as a new owner or DROP EXTENSION. Facts from an earlier generation
/// are stale.
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SERVICES_TABLE: Cell<Option<Table>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Table {
    relation: Oid,
    owner: Oid,
    generation: u64,
}

/// Notes a change of a relation, or of all relations if the oid is zero. Raises nothing and touches no catalog.
pub fn relation_changed(relation: Oid) {
    let ours = SERVICES_TABLE
        .try_with(|table| table.get().is_some_and(|table| table.relation == relation || relation == Oid::INVALID));
    if ours.unwrap_or(false) {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a backend remembers of the table's rows is valid for this generation.
pub fn tables_generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The role that owns volguard's tables.
pub fn role() -> Result<Oid, Error> {
    if let Some(table) = SERVICES_TABLE.get()
        && table.generation == tables_generation()
    {
        return Ok(table.owner);
    }
    let table = look_up().ok_or(Error::NotInstalled)?;
    SERVICES_TABLE.set(Some(table));
    Ok(table.owner)
}

fn look_up() -> Option<Table> {
    let generation = tables_generation();
    let relation = relation(c"services")?;
    Some(Table { relation, owner: of_relation(relation)?, generation })
}

/// One of our tables by its name; `None` if the extension isn't installed.
pub fn relation(name: &CStr) -> Option<Oid> {
    // SAFETY: catalog lookups of a running transaction, which return zero for what doesn't exist.
    let relation = unsafe {
        let schema = pg_sys::get_namespace_oid(c"volguard".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (relation != Oid::INVALID).then_some(relation)
}

/// The role that owns a relation; `None` if there is no such relation.
pub fn of_relation(relation: Oid) -> Option<Oid> {
    let owner = |class: &pg_sys::FormData_pg_class| class.relowner;
    // SAFETY: the cache of pg_class.
    unsafe { syscache::row(pg_sys::SysCacheIdentifier::RELOID, relation, owner) }
}

/// The role that calls the verb.
pub fn caller() -> Oid {
    // SAFETY: a plain read of the backend's state.
    unsafe { pg_sys::GetUserId() }
}

/// A role's name; empty if the role is gone.
pub fn name(role: Oid) -> String {
    // SAFETY: a catalog lookup of a running transaction. The result is null, or a C string that is copied at once.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        match name.is_null() {
            true => String::new(),
            false => CStr::from_ptr(name).to_string_lossy().into_owned(),
        }
    }
}

/// Is the caller a member of `role`, or a superuser?
pub fn caller_is(role: Oid) -> bool {
    let caller = caller();
    // SAFETY: a catalog lookup of a running transaction.
    caller == role || unsafe { pg_sys::has_privs_of_role(caller, role) }
}

pub fn is_superuser(role: Oid) -> bool {
    // SAFETY: a catalog lookup of a running transaction, which says no for a role that is gone.
    unsafe { pg_sys::superuser_arg(role) }
}

/// By what right a caller acts for a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It is that role, or a member of it.
    Member,
    /// It is a superuser, and nothing else.
    Superuser,
}

/// The right of the caller to act for a role by its name; `None` if it has none. Our tables have names, not oids: a
/// dump can be restored where the role is missing. For a role that is missing, or has another name by now, only a
/// superuser acts.
pub fn right_to(role: &str) -> Option<Right> {
    let (caller, oid) = (caller(), by_name(role));
    if oid == Some(caller) {
        return Some(Right::Member);
    }
    // SAFETY: catalog lookups of a running transaction.
    unsafe {
        let has_privileges = |oid| pg_sys::has_privs_of_role(caller, oid);
        match pg_sys::superuser_arg(caller) {
            false => oid.is_some_and(has_privileges).then_some(Right::Member),
            true if oid.is_some_and(|oid| pg_sys::is_member_of_role_nosuper(caller, oid)) => Some(Right::Member),
            true => Some(Right::Superuser),
        }
    }
}

/// Is the caller a member of the role with this name, or a superuser?
pub fn caller_is_named(role: &str) -> bool {
    right_to(role).is_some()
}

/// `None` if there is no role with this name.
pub fn by_name(role: &str) -> Option<Oid> {
    let mut name = [0; pg_sys::NAMEDATALEN as usize];
    // One byte stays zero, as the end of the C string.
    if role.len() >= name.len() || role.contains('\0') {
        return None;
    }
    name[..role.len()].copy_from_slice(role.as_bytes());
    // SAFETY: a catalog lookup of a running transaction, with a C string that outlives it.
    let oid = unsafe { pg_sys::get_role_oid(name.as_ptr().cast(), true) };
    (oid != Oid::INVALID).then_some(oid)
}

/// The current role is another one while this lives. An abort restores the role as well.
pub struct AsRole {
    role: Oid,
    context: i32,
}

impl AsRole {
    /// As the owner of our tables.
    pub fn owner() -> Result<Self, Error> {
        Ok(Self::switch(role()?, 0))
    }

    /// As `role`, in a context in which it can't change roles or leave anything behind in the session.
    pub fn restricted(role: Oid) -> Self {
        Self::switch(role, pg_sys::SECURITY_RESTRICTED_OPERATION)
    }

    fn switch(to: Oid, extra: u32) -> Self {
        let (mut role, mut context) = (Oid::INVALID, 0);
        // SAFETY: reads and writes two variables of the backend; Drop restores what was read.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut role, &mut context);
            let flags = (pg_sys::SECURITY_LOCAL_USERID_CHANGE | extra) as i32;
            pg_sys::SetUserIdAndSecContext(to, context | flags);
        }
        AsRole { role, context }
    }
}

impl Drop for AsRole {
    fn drop(&mut self) {
        // SAFETY: what `switch` read. After an error the abort sets the same once more.
        unsafe { pg_sys::SetUserIdAndSecContext(self.role, self.context) };
    }
}
