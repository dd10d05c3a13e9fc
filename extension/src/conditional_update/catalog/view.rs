//! Views through which Postgres updates a table, locks its rows and evaluates conditions on them.

use super::rules;
use pgrx::pg_sys::{self, Oid};

/// Does Postgres itself turn an update of the view into an update of a table? A rule or an INSTEAD OF trigger works
/// on rows that are not locked, so the conditions might not hold any more.
pub fn is_updatable(view: pg_sys::Relation) -> bool {
    // SAFETY: an open view. The bits of the answer are numbered by command.
    unsafe {
        let own = (*view).rd_id;
        let commands = pg_sys::relation_is_updatable(own, std::ptr::null_mut(), false, std::ptr::null_mut());
        commands & (1 << pg_sys::CmdType::CMD_UPDATE) != 0 && goes_through(view)
    }
}

/// Has the definition of the view, or of a view behind it, a sub-query? The view is one that Postgres can update.
pub fn has_sub_queries(view: pg_sys::Relation) -> bool {
    // SAFETY: an open view. The relation behind it is closed again.
    unsafe {
        let query = pg_sys::get_view_query(view);
        let Some(behind) = behind(query).filter(|_| !(*query).hasSubLinks) else {
            return true;
        };
        let behind = pg_sys::relation_open(behind, pg_sys::AccessShareLock as i32);
        let is_view = (*(*behind).rd_rel).relkind as u8 == pg_sys::RELKIND_VIEW;
        let has_sub_queries = is_view && has_sub_queries(behind);
        pg_sys::relation_close(behind, pg_sys::NoLock as i32);
        has_sub_queries
    }
}

/// The table at the bottom of a view that Postgres can update, and the columns that the view has of it: the number
/// in the view, and the number in the table.
pub fn columns_behind(view: pg_sys::Relation) -> Option<(Oid, Vec<(i16, i16)>)> {
    // SAFETY: an open view. Its query is made of one relation, which is closed again.
    unsafe {
        let query = pg_sys::get_view_query(view);
        let behind = behind(query)?;
        let own = (0..pg_sys::list_length((*query).targetList)).filter_map(|at| {
            let entry = &*pg_sys::list_nth((*query).targetList, at).cast::<pg_sys::TargetEntry>();
            let is_column = !entry.resjunk && (*entry.expr.cast::<pg_sys::Node>()).type_ == pg_sys::NodeTag::T_Var;
            let number = is_column.then(|| (*entry.expr.cast::<pg_sys::Var>()).varattno);
            number.filter(|number| *number > 0).map(|number| (entry.resno, number))
        });
        let own: Vec<_> = own.collect();
        let relation = pg_sys::relation_open(behind, pg_sys::AccessShareLock as i32);
        let is_view = (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_VIEW;
        let further = if is_view { Some(columns_behind(relation)) } else { None };
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        let Some(further) = further else {
            return Some((behind, own));
        };
        let (table, further) = further?;
        let in_table = |number| further.iter().find(|(own, _)| *own == number).map(|(_, number)| *number);
        let columns = own.into_iter().filter_map(|(own, number)| Some((own, in_table(number)?)));
        Some((table, columns.collect()))
    }
}

/// # Safety
/// An open view, made of one relation.
unsafe fn goes_through(view: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise; a view has its rule, by which it is read. The relation behind it is closed again.
    unsafe {
        let triggers = (*view).trigdesc;
        let instead = !triggers.is_null() && (*triggers).trig_update_instead_row;
        let rules = (*view).rd_rules;
        if instead || rules.is_null() || (*rules).numLocks != 1 {
            return false;
        }
        let Some(behind) = behind(pg_sys::get_view_query(view)) else {
            return false;
        };
        let behind = pg_sys::relation_open(behind, pg_sys::AccessShareLock as i32);
        let is_view = (*(*behind).rd_rel).relkind as u8 == pg_sys::RELKIND_VIEW;
        let through = match is_view {
            true => goes_through(behind),
            false => !rules::replace_update(behind),
        };
        pg_sys::relation_close(behind, pg_sys::NoLock as i32);
        through
    }
}

/// The relation behind a view.
///
/// # Safety
/// The query of a view.
unsafe fn behind(query: *mut pg_sys::Query) -> Option<Oid> {
    // SAFETY: an updatable view's FROM has one item, which refers to the range table.
    unsafe {
        let from = (*(*query).jointree).fromlist;
        if pg_sys::list_length(from) != 1 {
            return None;
        }
        let item = pg_sys::list_nth(from, 0).cast::<pg_sys::RangeTblRef>();
        let entry = pg_sys::list_nth((*query).rtable, (*item).rtindex - 1);
        Some((*entry.cast::<pg_sys::RangeTblEntry>()).relid)
    }
}
