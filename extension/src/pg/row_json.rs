//! A row that a statement has returned, as the JSON that `to_jsonb(row)` would make of it in the statement.
//!
//! It is made here, so that the statement returns nothing but columns: an extension that distributes tables (Citus)
//! has other nodes compute the rest of a RETURNING list, and can't do that for a whole row.

use super::catch::{catching, raw};
use super::error::Error;
use super::spi::Rows;
use pgrx::PgTupleDesc;
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, TupleDesc};
use std::ptr;

/// The first row, which has all columns of the relation in their order. A jsonb in the current memory context.
pub fn first(rows: &Rows, relation: Oid) -> Result<Option<Datum>, Error> {
    let Some((tuple, returned)) = rows.first_tuple() else {
        return Ok(None);
    };
    // SAFETY: the relation is locked by the statement, so the row has the columns of its type; SPI's tuple and its
    // description live while SPI is connected. The closure owns nothing.
    unsafe {
        let row_type = pg_sys::get_rel_type_id(relation);
        let description = pg_sys::lookup_rowtype_tupdesc(row_type, -1);
        let is_dropped = dropped(description, returned);
        let is_dropped = &is_dropped[..];
        let mut to_jsonb = to_jsonb_of(row_type);
        let to_jsonb = &raw mut to_jsonb;
        let json = catching(|| {
            let row = composite(tuple, returned, description, is_dropped);
            raw::FunctionCall1Coll(to_jsonb, Oid::INVALID, row)
        })?;
        pg_sys::DecrTupleDescRefCount(description);
        Ok(Some(json))
    }
}

/// For each column of the row's type, whether it is dropped; empty if none is.
///
/// # Safety
/// Both are descriptions of rows.
unsafe fn dropped(row: TupleDesc, returned: TupleDesc) -> Vec<bool> {
    // SAFETY: the caller's promise.
    unsafe {
        match (*row).natts == (*returned).natts {
            true => Vec::new(),
            false => PgTupleDesc::from_pg_unchecked(row).iter().map(|column| column.attisdropped).collect(),
        }
    }
}

/// `to_jsonb(anyelement)`, called with this type.
///
/// # Safety
/// Called in a running transaction. The function lives as long as the current memory context.
unsafe fn to_jsonb_of(row_type: Oid) -> pg_sys::FmgrInfo {
    const ANY: i32 = -1;
    let mut function = pg_sys::FmgrInfo::default();
    // SAFETY: a built-in function. A polymorphic function reads the type of its argument from the expression that
    // calls it; the argument in it is never evaluated.
    unsafe {
        let to_jsonb = Oid::from(pg_sys::F_TO_JSONB);
        pg_sys::fmgr_info(to_jsonb, &mut function);
        let argument = pg_sys::makeNullConst(row_type, ANY, Oid::INVALID);
        let arguments = pg_sys::lappend(ptr::null_mut(), argument.cast());
        let form = pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
        let call = pg_sys::makeFuncExpr(to_jsonb, pg_sys::JSONBOID, arguments, Oid::INVALID, Oid::INVALID, form);
        function.fn_expr = call.cast();
    }
    function
}

/// The returned columns as a value of the row's type, in which dropped columns still have a place.
///
/// # Safety
/// Inside [`catching`]. `tuple` is described by `returned`, which has the columns of `row` that are not dropped.
unsafe fn composite(tuple: HeapTuple, returned: TupleDesc, row: TupleDesc, is_dropped: &[bool]) -> Datum {
    if is_dropped.is_empty() {
        // SAFETY: the caller's promise.
        return unsafe { raw::heap_copy_tuple_as_datum(tuple, row) };
    }
    // SAFETY: the caller's promise; each array has a place for each column of its description.
    unsafe {
        let array = |length: usize| raw::palloc0(length * size_of::<Datum>()).cast::<Datum>();
        let flags = |length: usize| raw::palloc0(length).cast::<bool>();
        let given = (*returned).natts as usize;
        let (from, from_null) = (array(given), flags(given));
        raw::heap_deform_tuple(tuple, returned, from, from_null);
        let (to, to_null) = (array(is_dropped.len()), flags(is_dropped.len()));
        let mut next = 0;
        for (at, is_dropped) in is_dropped.iter().enumerate() {
            *to_null.add(at) = *is_dropped || *from_null.add(next);
            if !is_dropped {
                *to.add(at) = *from.add(next);
                next += 1;
            }
        }
        let tuple = raw::heap_form_tuple(row, to, to_null);
        raw::heap_copy_tuple_as_datum(tuple, row)
    }
}
