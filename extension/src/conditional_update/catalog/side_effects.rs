//! What may happen beside an update: by the triggers and rules of its table, and by foreign keys to it.

use super::identity::Identity;
use super::table::Table;
use pgrx::pg_sys;

#[derive(Debug)]
pub struct SideEffects {
    /// Can an update that returns no row have written something? A BEFORE trigger may write and suppress the update;
    /// a row that leaves its partition is removed there, and a trigger of the other partition may suppress its insert.
    pub without_row: bool,
    /// Can the row be changed once more behind the RETURNING of the statement?
    pub afterwards: bool,
    /// What finds the row again then; `None` if it can't be told from other rows.
    pub identity: Option<Identity>,
}

impl SideEffects {
    /// Of an update that sets the columns with these names.
    pub fn of<'n>(table: &Table, changed: impl Iterator<Item = &'n str>) -> Self {
        // SAFETY: an open relation; its triggers are in an array of that length.
        let (triggers, has_rules) = unsafe {
            let relation = table.relation();
            let triggers = (*relation).trigdesc;
            let triggers = match triggers.is_null() {
                true => &[],
                false => std::slice::from_raw_parts((*triggers).triggers, (*triggers).numtriggers as usize),
            };
            (triggers, !(*relation).rd_rules.is_null())
        };
        // Of rows that are in other tables (of a view, of children, of partitions) it is not known.
        let is_unknown = !table.stands_alone() || has_rules;
        let afterwards = is_unknown || triggers.iter().any(may_write_afterwards);
        SideEffects {
            without_row: is_unknown || triggers.iter().any(may_write_without_row),
            afterwards,
            identity: if afterwards { Identity::of(table, changed) } else { None },
        }
    }
}

fn may_write_afterwards(trigger: &pg_sys::Trigger) -> bool {
    is_for_update(trigger) && is_after(trigger) && may_write(trigger)
}

/// Only an AFTER trigger of a row needs a row that was updated.
fn may_write_without_row(trigger: &pg_sys::Trigger) -> bool {
    let of_row = trigger.tgtype as u32 & pg_sys::TRIGGER_TYPE_ROW != 0;
    is_for_update(trigger) && !(is_after(trigger) && of_row)
}

fn is_for_update(trigger: &pg_sys::Trigger) -> bool {
    trigger.tgtype as u32 & pg_sys::TRIGGER_TYPE_UPDATE != 0
}

fn is_after(trigger: &pg_sys::Trigger) -> bool {
    const ANOTHER_TIME: u32 = pg_sys::TRIGGER_TYPE_BEFORE | pg_sys::TRIGGER_TYPE_INSTEAD;
    trigger.tgtype as u32 & ANOTHER_TIME == 0
}

/// False for those of Postgres' own triggers that only check. The others belong to the actions of foreign keys, which
/// change rows that may have triggers in turn.
fn may_write(trigger: &pg_sys::Trigger) -> bool {
    !matches!(
        trigger.tgfoid.to_u32(),
        pg_sys::F_RI_FKEY_CHECK_UPD
            | pg_sys::F_RI_FKEY_NOACTION_UPD
            | pg_sys::F_RI_FKEY_RESTRICT_UPD
            | pg_sys::F_UNIQUE_KEY_RECHECK
    )
}
