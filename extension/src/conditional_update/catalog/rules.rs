//! Rules of a table: statements that Postgres runs beside an update, or instead of it.

use pgrx::pg_sys;

/// In `pg_rewrite.ev_enabled`.
const DISABLED: u8 = b'D';

/// Does a rule replace an update of the table, always or under a condition? It works on rows that are not locked, so
/// the conditions might not hold any more.
pub fn replace_update(table: pg_sys::Relation) -> bool {
    // SAFETY: an open relation; its rules are in an array of that length.
    unsafe {
        let rules = (*table).rd_rules;
        if rules.is_null() {
            return false;
        }
        let rules = std::slice::from_raw_parts((*rules).rules, (*rules).numLocks as usize);
        rules.iter().any(|rule| {
            let rule = &**rule;
            rule.event == pg_sys::CmdType::CMD_UPDATE && rule.isInstead && rule.enabled as u8 != DISABLED
        })
    }
}
