//! The insert of a row into a table that is as plain as `workers` is made: into the heap, and into each index. The executor
//! would do the same; its preparations cost more than the insert.
//!
//! What the table looks like is read from the relation cache at each insert, under the lock of the write. Nothing of it is
//! remembered, so an index that has gone, or that is just being built, is treated as the executor treats it.

use crate::catch::raw;
use crate::place::Place;
use crate::spi::Arg;
use pgrx::pg_sys::{self, Datum, FormData_pg_attribute, NodeTag, Relation, TupleDesc};
use std::ptr;

/// The most columns that a table may have here, and that an index may have in Postgres.
const WIDEST: usize = pg_sys::INDEX_MAX_KEYS as usize;

/// The most indexes that a table may have here.
const MOST_INDEXES: usize = 8;

/// Inserts a row with these fields, each beside the number of its column. `None`, and nothing done, if the table asks for more
/// than that, or refuses NULL in another column.
///
/// # Safety
/// Inside [`crate::catch::catching`]; the table is locked for a write and has no triggers; the fields are of their columns'
/// types.
pub unsafe fn insert(table: Relation, fields: &[(i16, Arg)]) -> Option<Place> {
    // SAFETY: the caller's promise. Indexes that are opened are closed, or by the abort when an error jumps out.
    unsafe {
        if !is_plain(table) {
            return None;
        }
        let row = Row::of((*table).rd_att, fields)?;
        let indexes = Indexes::open(table, &row);
        let place = match indexes.understood {
            true => Some(row.write(table, &indexes)),
            false => None,
        };
        indexes.close();
        place
    }
}

/// Nothing but a heap and its indexes: no partition, no CHECK, no column that is computed.
///
/// # Safety
/// The table is open.
unsafe fn is_plain(table: Relation) -> bool {
    // SAFETY: the caller's promise; the descriptor's constraints may be absent.
    unsafe {
        let class = &*(*table).rd_rel;
        let computed = (*(*table).rd_att)
            .constr
            .as_ref()
            .is_some_and(|constraints| {
                #[cfg(feature = "pg18")]
                if constraints.has_generated_virtual {
                    return true;
                }
                constraints.num_check > 0 || constraints.has_generated_stored
            });
        class.relkind == pg_sys::RELKIND_RELATION as i8
            && class.relam == pg_sys::HEAP_TABLE_AM_OID
            && !class.relispartition
            && !computed
            // A value that lies in another table's TOAST is fetched under a snapshot.
            && pg_sys::ActiveSnapshotSet()
    }
}

/// The fields of a row, one a column.
struct Row {
    values: [Datum; WIDEST],
    nulls: [bool; WIDEST],
}

impl Row {
    /// `None` if a column that refuses NULL would get one.
    ///
    /// # Safety
    /// The numbers are those of columns of the table.
    unsafe fn of(descriptor: TupleDesc, fields: &[(i16, Arg)]) -> Option<Self> {
        let mut row = Row {
            values: [Datum::null(); WIDEST],
            nulls: [true; WIDEST],
        };
        for (number, field) in fields {
            let at = usize::try_from(*number).ok()?.checked_sub(1)?;
            *row.nulls.get_mut(at)? = field.is_none();
            row.values[at] = field.unwrap_or(Datum::null());
        }
        // SAFETY: the caller's promise.
        let columns = unsafe { (*descriptor).natts as usize };
        let nulls = row.nulls.get(..columns)?;
        // SAFETY: the descriptor has so many columns.
        let refused = |(at, is_null): (usize, &bool)| unsafe {
            *is_null && (*column(descriptor, at)).attnotnull
        };
        (!nulls.iter().enumerate().any(refused)).then_some(row)
    }

    /// # Safety
    /// As [`insert`]; the indexes are those of the table, and understood.
    unsafe fn write(&self, table: Relation, indexes: &Indexes) -> Place {
        // SAFETY: the caller's promise; the arrays have a field a column, and Postgres only reads them.
        unsafe {
            let (values, nulls) = (self.values.as_ptr(), self.nulls.as_ptr());
            let (values, nulls) = (values.cast_mut(), nulls.cast_mut());
            let tuple = raw::heap_form_tuple((*table).rd_att, values, nulls);
            let now = raw::GetCurrentCommandId(true);
            raw::heap_insert(table, tuple, now, 0, ptr::null_mut());
            for (index, wanted) in indexes.all() {
                if *wanted {
                    self.enter(table, *index, &mut (*tuple).t_self);
                }
            }
            Place::of_new(table, (*tuple).t_self)
        }
    }

    /// Enters the row, which is at `place`, into an index.
    ///
    /// # Safety
    /// As [`Row::write`].
    unsafe fn enter(&self, table: Relation, index: Relation, place: pg_sys::ItemPointer) {
        let (mut values, mut nulls) = ([Datum::null(); WIDEST], [true; WIDEST]);
        // SAFETY: the caller's promise; an index has at most so many columns. A btree doesn't ask for the executor's
        // description of the index.
        unsafe {
            for (to, number) in columns(index).iter().enumerate() {
                let from = *number as usize - 1;
                values[to] = self.values[from];
                nulls[to] = self.nulls[from];
            }
            let unique = match (*(*index).rd_index).indisunique {
                true => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
                false => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO,
            };
            let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
            let description = ptr::null_mut();
            raw::index_insert(
                index,
                values,
                nulls,
                place,
                table,
                unique,
                false,
                description,
            );
        }
    }
}

/// The indexes of a table, opened as the executor does: each under a lock of its own, since some changes of an index lock
/// nothing else.
struct Indexes {
    /// And whether the row needs an entry there.
    opened: [(Relation, bool); MOST_INDEXES],
    count: usize,
    /// All are opened, and of each it is known what the row needs there.
    understood: bool,
}

impl Indexes {
    /// # Safety
    /// As [`insert`].
    unsafe fn open(table: Relation, row: &Row) -> Self {
        let mut indexes = Indexes {
            opened: [(ptr::null_mut(), false); MOST_INDEXES],
            count: 0,
            understood: true,
        };
        // SAFETY: the caller's promise; the list is a copy, and ours.
        unsafe {
            let list = raw::RelationGetIndexList(table);
            let count = list.as_ref().map_or(0, |list| list.length as usize);
            indexes.understood = count <= MOST_INDEXES;
            while indexes.understood && indexes.count < count {
                let number = (*(*list).elements.add(indexes.count)).oid_value;
                let index = raw::index_open(number, pg_sys::RowExclusiveLock as i32);
                let wanted = wants(index, row);
                indexes.opened[indexes.count] = (index, wanted.unwrap_or(false));
                indexes.count += 1;
                indexes.understood = wanted.is_some();
            }
            raw::list_free(list);
        }
        indexes
    }

    fn all(&self) -> &[(Relation, bool)] {
        &self.opened[..self.count]
    }

    /// # Safety
    /// Inside [`crate::catch::catching`]; once.
    unsafe fn close(&self) {
        for (index, _) in self.all() {
            // SAFETY: opened by `open`.
            unsafe { raw::index_close(*index, pg_sys::RowExclusiveLock as i32) };
        }
    }
}

/// Does the row need an entry in the index? `None` if that takes the executor to find out, or to make it.
///
/// # Safety
/// Inside [`crate::catch::catching`]; the index is open and one of the row's table.
unsafe fn wants(index: Relation, row: &Row) -> Option<bool> {
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
            true => in_predicate(index, row),
        }
    }
}

/// Is the row one of those that a partial index is about? `None` if its predicate is more than `column IS [NOT] NULL`.
///
/// # Safety
/// As [`wants`].
unsafe fn in_predicate(index: Relation, row: &Row) -> Option<bool> {
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
        Some(*row.nulls.get(at)? == wants_null)
    }
}

/// The numbers of the table's columns that an index has.
///
/// # Safety
/// The index is open, and stays so while they are used.
unsafe fn columns<'a>(index: Relation) -> &'a [i16] {
    // SAFETY: the caller's promise; the vector has a number a column.
    unsafe {
        let form = (*index).rd_index;
        std::slice::from_raw_parts((*form).indkey.values.as_ptr(), (*form).indnatts as usize)
    }
}

/// # Safety
/// The table has more than `at` columns.
#[cfg(not(feature = "pg18"))]
unsafe fn column(descriptor: TupleDesc, at: usize) -> *const FormData_pg_attribute {
    // SAFETY: the caller's promise.
    unsafe { (*descriptor).attrs.as_ptr().add(at) }
}

/// # Safety
/// As above.
#[cfg(feature = "pg18")]
unsafe fn column(descriptor: TupleDesc, at: usize) -> *const FormData_pg_attribute {
    // SAFETY: the caller's promise; the full descriptions lie behind the short ones.
    unsafe {
        let short = (*descriptor).compact_attrs.as_ptr();
        let full = short.add((*descriptor).natts as usize);
        full.cast::<FormData_pg_attribute>().add(at)
    }
}
