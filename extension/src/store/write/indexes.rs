//! Which entries a new row needs in the indexes of its table.

use crate::pg::catch::raw;
use pgrx::pg_sys::{self, NodeTag, Relation};
use std::ptr;

/// The most indexes that a table may have here.
const MOST: usize = 8;

/// The indexes of a table, opened as the executor does: each under a lock of its own, since some changes of an index lock
/// nothing else.
pub struct Indexes {
    /// And whether the row needs an entry there.
    opened: [(Relation, bool); MOST],
    count: usize,
    /// All are opened, and of each it is known what the row needs there.
    pub understood: bool,
}

impl Indexes {
    /// Opens them for a row whose columns are NULL or not.
    ///
    /// # Safety
    /// Inside [`crate::pg::catch::catching`]; the table is locked for a write.
    pub unsafe fn open(table: Relation, nulls: &[bool]) -> Self {
        let mut indexes = Indexes {
            opened: [(ptr::null_mut(), false); MOST],
            count: 0,
            understood: true,
        };
        // SAFETY: the caller's promise; the list is a copy, and ours.
        unsafe {
            let list = raw::RelationGetIndexList(table);
            let count = list.as_ref().map_or(0, |list| list.length as usize);
            indexes.understood = count <= MOST;
            while indexes.understood && indexes.count < count {
                let number = (*(*list).elements.add(indexes.count)).oid_value;
                let index = raw::index_open(number, pg_sys::RowExclusiveLock as i32);
                let wanted = wants(index, nulls);
                indexes.opened[indexes.count] = (index, wanted.unwrap_or(false));
                indexes.count += 1;
                indexes.understood = wanted.is_some();
            }
            raw::list_free(list);
        }
        indexes
    }

    pub fn all(&self) -> &[(Relation, bool)] {
        &self.opened[..self.count]
    }

    /// # Safety
    /// Inside [`crate::pg::catch::catching`]; once.
    pub unsafe fn close(&self) {
        for (index, _) in self.all() {
            // SAFETY: opened by `open`.
            unsafe { raw::index_close(*index, pg_sys::RowExclusiveLock as i32) };
        }
    }
}

/// Does the row need an entry in the index? `None` if that takes the executor to find out, or to make it.
///
/// # Safety
/// Inside [`crate::pg::catch::catching`]; the index is open, and one of the table that the row is for.
unsafe fn wants(index: Relation, nulls: &[bool]) -> Option<bool> {
    // SAFETY: the caller's promise.
    unsafe {
        let form = &*(*index).rd_index;
        let is_plain = (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID
            && !form.indisexclusion
            && form.indimmediate
            // Zero stands for an expression.
            && columns(index).iter().all(|number| *number > 0);
        match is_plain {
            false => None,
            // One that is being built takes no entries at first. Later it does, though nobody may search it yet.
            true if !form.indisready => Some(false),
            true => in_predicate(index, nulls),
        }
    }
}

/// Is the row one of those that a partial index is about? `None` if its predicate is more than `column IS [NOT] NULL`.
///
/// # Safety
/// As [`wants`].
unsafe fn in_predicate(index: Relation, nulls: &[bool]) -> Option<bool> {
    // SAFETY: the caller's promise; a node is what its tag says. The relation cache keeps the predicate once it was asked for.
    unsafe {
        if (*index).rd_indpred.is_null() {
            let number = pg_sys::Anum_pg_index_indpred as i32;
            if raw::heap_attisnull((*index).rd_indextuple, number, ptr::null_mut()) {
                return Some(true);
            }
            raw::RelationGetIndexPredicate(index);
        }
        let predicate = (*index).rd_indpred.as_ref()?;
        if predicate.length != 1 {
            return None;
        }
        let test = (*predicate.elements).ptr_value.cast::<pg_sys::NullTest>();
        if (*test).xpr.type_ != NodeTag::T_NullTest || (*test).argisrow {
            return None;
        }
        let column = (*test).arg.cast::<pg_sys::Var>();
        if (*column).xpr.type_ != NodeTag::T_Var {
            return None;
        }
        let at = usize::try_from((*column).varattno).ok()?.checked_sub(1)?;
        let wants_null = (*test).nulltesttype == pg_sys::NullTestType::IS_NULL;
        Some(*nulls.get(at)? == wants_null)
    }
}

/// The numbers of the table's columns that an index has.
///
/// # Safety
/// The index is open, and stays so while they are used.
pub unsafe fn columns<'a>(index: Relation) -> &'a [i16] {
    // SAFETY: the caller's promise; the vector has a number a column.
    unsafe {
        let form = (*index).rd_index;
        std::slice::from_raw_parts((*form).indkey.values.as_ptr(), (*form).indnatts as usize)
    }
}
