//! The insert of a row into a table that is as plain as `workers` is made: into the heap, and into each index. The executor
//! would do the same; its preparations cost more than the insert.
//!
//! What the table looks like is read from the relation cache at each insert, under the lock of the write. Nothing of it is
//! remembered, so an index that has gone, or that is just being built, is treated as the executor treats it.

use super::indexes::{Indexes, columns};
use crate::pg::catch::raw;
use crate::pg::spi::Arg;
use crate::store::place::Place;
use pgrx::pg_sys::{self, Datum, FormData_pg_attribute, Relation, TupleDesc};
use std::ptr;

/// The most columns that a table may have here, and that an index may have in Postgres.
pub const WIDEST: usize = pg_sys::INDEX_MAX_KEYS as usize;

/// Inserts a row with these fields, each beside the number of its column. `None`, and nothing done, if the table asks for more
/// than that, or refuses NULL in another column.
///
/// # Safety
/// Inside [`crate::pg::catch::catching`]; the table is locked for a write and has no triggers; the fields are of their columns'
/// types.
pub unsafe fn insert(table: Relation, fields: &[(i16, Arg)]) -> Option<Place> {
    // SAFETY: the caller's promise. Indexes that are opened are closed, or by the abort when an error jumps out.
    unsafe {
        if !is_plain(table) {
            return None;
        }
        let row = Row::of((*table).rd_att, fields)?;
        let indexes = Indexes::open(table, &row.nulls);
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
        class.relkind as u8 == pg_sys::RELKIND_RELATION
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
