//! Crash rules: finding one, whether it may run, and running it.
//!
//! A rule runs as the owner of the table, because that role could do the same at any time. So it must stay the case
//! that only this role, or one that has its rights, decided what runs: the rule is the owner's, and so is all that it
//! fires, and the schemas in which that finds names.

use super::kind::WorkKind;
use super::permission;
use super::trust::{self, Act, Locking, Trust};
use crate::conditional_update::{RulePlan, relation_name};
use crate::pg::error::Error;
use crate::pg::overrides::Overrides;
use crate::pg::owner::{self, AsRole};
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::store::tracked::Resource;
use pgrx::JsonB;
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString};

/// Settings that say what a literal means, or how a value becomes a text, with the values that rules run under.
pub const SETTINGS: [(&CStr, &CStr); 9] = [
    (c"DateStyle", c"ISO, MDY"),
    (c"IntervalStyle", c"postgres"),
    (c"TimeZone", c"UTC"),
    (c"bytea_output", c"hex"),
    (c"extra_float_digits", c"1"),
    (c"lc_monetary", c"C"),
    (c"lc_numeric", c"C"),
    (c"lc_time", c"C"),
    (c"array_nulls", c"on"),
];

/// Without a rule the table is only read.
const NO_SEARCH_PATH: &CStr = c"pg_catalog, pg_temp";

/// What a crash makes of resources whose operation was in one status.
pub struct CrashRule {
    plan: RulePlan,
    target: Oid,
    /// Otherwise it only finds which resources still have the status.
    pub has_changes: bool,
    /// The owner of the table.
    role: Oid,
    search_path: CString,
    status_column: CString,
}

/// A lookup of a rule.
pub enum Found {
    /// Another transaction has locked this table, which the rule would change.
    Locked(String),
    Rule(CrashRule),
}

/// A row of `crash_rules`.
struct StoredRule {
    changes: serde_json::Value,
    target: Oid,
    owner: CString,
    search_path: String,
}

impl StoredRule {
    fn find(kind: &WorkKind) -> Result<Option<Self>, Error> {
        sql::RULE.run(&[arg(&*kind.resource_type), arg(&*kind.status)], |rows| {
            Some(StoredRule {
                changes: rows.get::<JsonB>(0, 0)?.0,
                target: rows.get(0, 1)?,
                owner: rows.get::<&CStr>(0, 2)?.to_owned(),
                search_path: rows.get(0, 3)?,
            })
        })
    }

    /// A rule is suspended if its table is not that of the type any more, or has another owner than when it was made.
    fn check(&self, kind: &WorkKind, resource: &Resource, role: Oid) -> Result<(), Error> {
        const HINT: &str =
            "Call volguard.on_crash again, with the privileges of the table's owner, to confirm the rule.";
        let resource_type = &kind.resource_type;
        if self.target != resource.target && !sabotage::removed(Guard::RuleTarget) {
            let (made_for, now) = (relation_name(self.target), relation_name(resource.target));
            let what = format!("suspended: made for table {made_for}, but {resource_type} is tracked in {now} now");
            return Err(Error::Denied { what, hint: HINT });
        }
        let owner = owner::name(role);
        if self.owner.to_string_lossy() != owner && !sabotage::removed(Guard::RuleOwner) {
            let table = relation_name(resource.target);
            let what = format!(
                "suspended: made when {table} belonged to role {}, but it belongs to {owner} now",
                self.owner.to_string_lossy()
            );
            return Err(Error::Denied { what, hint: HINT });
        }
        Ok(())
    }
}

impl CrashRule {
    /// An error if the rule must not run. The table of the type is locked, and belongs to `role`.
    pub fn find(kind: &WorkKind, resource: Resource, role: Oid) -> Result<Found, Error> {
        let stored = StoredRule::find(kind)?;
        let target = resource.target;
        if let Some(stored) = &stored {
            stored.check(kind, &resource, role)?;
        }
        trust::refuse_system_table(target)?;
        let id_column = resource.id_column.to_string_lossy();
        let status_column = resource.status_column.to_string_lossy();
        let plan = {
            let _role = AsRole::restricted(role);
            let changes = stored.as_ref().map(|stored| &stored.changes);
            RulePlan::prepare(target, changes, &id_column, &status_column, &kind.status)?
        };
        let has_changes = stored.is_some();
        let changed = plan.changed();
        let act = if has_changes { Act::Update(&changed) } else { Act::Read };
        match trust::on_tables(target, role, act, Locking::AtOnce)? {
            Trust::Given => {}
            Trust::Locked(table) => return Ok(Found::Locked(table)),
            Trust::Refused(what, hint) => return Err(Error::Denied { what, hint }),
        }
        let search_path = match stored {
            Some(stored) => trust::search_path(&stored.search_path, role)?,
            None => NO_SEARCH_PATH.to_owned(),
        };
        let status_column = resource.status_column;
        Ok(Found::Rule(CrashRule { plan, target, has_changes, role, search_path, status_column }))
    }

    /// Changes the resources that still have the status, or just finds them. Returns for each id whether it was one.
    /// If it fails some may have been changed: undo it then.
    pub fn run(&self, resource_ids: &[&str]) -> Result<Vec<bool>, Error> {
        let _context = self.context();
        let found = self.plan.run(resource_ids)?;
        if found.contains(&false) && self.may_be_hidden() {
            return Err(Error::Unsupported {
                what: "row-level security may hide the resource from the table's owner".to_owned(),
                hint: "Run ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or let a policy show the owner every row.",
            });
        }
        Ok(found)
    }

    /// Locks the resources that still have the status, as the rule will. Returns for each id whether another
    /// transaction has locked it: this waits for none.
    pub fn lock(&self, resource_ids: &[&str]) -> Result<Vec<bool>, Error> {
        let _context = self.context();
        self.plan.lock(resource_ids)
    }

    /// The role and the settings that the rule runs under, while the value lives.
    fn context(&self) -> (AsRole, Overrides) {
        let role = match sabotage::removed(Guard::RuleRole) {
            false => self.role,
            true => owner::caller(),
        };
        let settings = Overrides::begin().set(c"search_path", &self.search_path);
        (AsRole::restricted(role), settings)
    }

    /// May the role have the rule changed a row for it? See [`permission`].
    pub fn permits(&self, resource_type: &str, role: Oid) -> Result<(), Error> {
        permission::to_update(resource_type, self.target, &self.status_column, role)
    }

    /// To an owner that a policy applies to, a row that it hides seems to be gone.
    fn may_be_hidden(&self) -> bool {
        // SAFETY: a catalog lookup of a running transaction, as the rule's role.
        let security = unsafe { pg_sys::check_enable_rls(self.target, Oid::INVALID, true) };
        security == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
    }
}
