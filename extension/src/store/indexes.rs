//! Our indexes, if they can be relied on. They are known by their names, and a table is searched where one can't be.

use super::columns::Columns;
use crate::pg::{owner, syscache};
use crate::sabotage::{self, Guard};
use pgrx::PgList;
use pgrx::pg_sys::{self, Datum, FormData_pg_class, FormData_pg_index, Node, NodeTag, Oid, SysCacheIdentifier};
use std::ffi::CStr;

/// The operator `- integer`.
const MINUS: Oid = Oid::from_u32(558);

/// The rows that an index has an entry for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    All,
    /// Those that its predicate holds for.
    Some,
}

/// The btree of this name, if it is one of the table that begins with these columns and has these entries. One that a
/// failed CREATE INDEX or REINDEX left behind may lack some, and an administrator may have made another of its name.
pub fn usable(name: &CStr, table: Oid, columns: &[i16], entries: Entries) -> Oid {
    let Some(index) = owner::relation(name) else {
        return Oid::INVALID;
    };
    let is_sound = |index: &FormData_pg_index| {
        let keys = usize::try_from(index.indnkeyatts).unwrap_or(0);
        // SAFETY: the vector has an element per column of the index.
        let numbers = unsafe { index.indkey.values.as_slice(keys) };
        index.indisvalid
            && index.indisready
            && index.indislive
            && index.indrelid == table
            && numbers.starts_with(columns)
    };
    let is_btree = |class: &FormData_pg_class| class.relam == pg_sys::BTREE_AM_OID;
    // SAFETY: the caches of pg_index and pg_class.
    let sound = unsafe {
        syscache::row(SysCacheIdentifier::INDEXRELID, index, is_sound) == Some(true)
            && syscache::row(SysCacheIdentifier::RELOID, index, is_btree) == Some(true)
            && is_partial(index) == (entries == Entries::Some)
    };
    if sound { index } else { Oid::INVALID }
}

/// Has the index a predicate?
fn is_partial(index: Oid) -> bool {
    // SAFETY: a column of pg_index.
    unsafe { attribute(index, pg_sys::Anum_pg_index_indpred, |predicate| predicate.is_some()) == Some(true) }
}

/// # Safety
/// As [`syscache::column`], of pg_index.
unsafe fn attribute<R>(index: Oid, number: u32, read: impl FnOnce(Option<Datum>) -> R) -> Option<R> {
    // SAFETY: the caller's promise.
    unsafe { syscache::column(SysCacheIdentifier::INDEXRELID, index, number, read) }
}

/// The index of the queue. It is read in its order, and what it has is handed out. So it must be just as it was made:
/// ascending, with the priority's other sign, and of no row that a service has.
pub fn of_queue(workers: Oid, columns: &Columns, types: &[Oid]) -> Oid {
    let index = usable(c"workers_queue_idx", workers, &columns.queue(), Entries::Some);
    let as_made = index != Oid::INVALID
        && is_ascending(index, types)
        && expression(index, pg_sys::Anum_pg_index_indexprs, |node| is_negative_of(node, columns.priority))
        && expression(index, pg_sys::Anum_pg_index_indpred, |node| is_null_test(node, columns.service_id));
    if as_made || sabotage::removed(Guard::QueueIndex) { index } else { Oid::INVALID }
}

/// Are its columns in the order of their types, which for a text is that of its bytes?
fn is_ascending(index: Oid, types: &[Oid]) -> bool {
    let by_default = |classes: &[Oid]| {
        // SAFETY: catalog lookups of a running transaction; the entry of the type's cache stays.
        types.iter().zip(classes).all(|(of, class)| unsafe {
            let default = (*pg_sys::lookup_type_cache(*of, pg_sys::TYPECACHE_BTREE_OPFAMILY as i32)).btree_opf;
            pg_sys::get_opclass_family(*class) == default && pg_sys::get_opclass_input_type(*class) == *of
        })
    };
    let by_bytes = |collations: &[Oid]| {
        let wanted = |of: &Oid| if *of == pg_sys::TEXTOID { pg_sys::C_COLLATION_OID } else { Oid::INVALID };
        types.iter().zip(collations).all(|(of, collation)| wanted(of) == *collation)
    };
    let oids = |vector: Option<Datum>, are: &dyn Fn(&[Oid]) -> bool| {
        // SAFETY: a vector with an element per column, in a row that is not released.
        vector.is_some_and(|vector| unsafe {
            are((*vector.cast_mut_ptr::<pg_sys::oidvector>()).values.as_slice(types.len()))
        })
    };
    let options = |vector: Option<Datum>| {
        // SAFETY: as above.
        vector.is_some_and(|vector| unsafe {
            (*vector.cast_mut_ptr::<pg_sys::int2vector>())
                .values
                .as_slice(types.len())
                .iter()
                .all(|option| *option == 0)
        })
    };
    // SAFETY: columns of pg_index.
    unsafe {
        attribute(index, pg_sys::Anum_pg_index_indclass, |vector| oids(vector, &by_default)) == Some(true)
            && attribute(index, pg_sys::Anum_pg_index_indcollation, |vector| oids(vector, &by_bytes)) == Some(true)
            && attribute(index, pg_sys::Anum_pg_index_indoption, options) == Some(true)
    }
}

/// What `is` says of the one expression in a column of pg_index, which is a list if the index may have several.
fn expression(index: Oid, number: u32, is: impl FnOnce(*mut Node) -> bool) -> bool {
    let read = |text: Option<Datum>| {
        // SAFETY: expressions as Postgres has written them, whose tag says what they are.
        text.is_some_and(|text| unsafe {
            let node = pg_sys::stringToNode(pg_sys::text_to_cstring(text.cast_mut_ptr())).cast::<Node>();
            let one = if (*node).type_ == NodeTag::T_List { only(node.cast()) } else { Some(node) };
            one.is_some_and(is)
        })
    };
    // SAFETY: a column of pg_index.
    unsafe { attribute(index, number, read) == Some(true) }
}

/// The one element of a list.
///
/// # Safety
/// A list of nodes.
unsafe fn only(list: *mut pg_sys::List) -> Option<*mut Node> {
    // SAFETY: the caller's promise.
    let list = unsafe { PgList::<Node>::from_pg(list) };
    if list.len() == 1 { list.get_ptr(0) } else { None }
}

fn is_negative_of(node: *mut Node, column: i16) -> bool {
    // SAFETY: a node, whose tag says what it is.
    unsafe {
        (*node).type_ == NodeTag::T_OpExpr && {
            let operation = node.cast::<pg_sys::OpExpr>();
            (*operation).opno == MINUS && only((*operation).args).is_some_and(|operand| is_column(operand, column))
        }
    }
}

fn is_null_test(node: *mut Node, column: i16) -> bool {
    // SAFETY: as above.
    unsafe {
        (*node).type_ == NodeTag::T_NullTest && {
            let test = node.cast::<pg_sys::NullTest>();
            (*test).nulltesttype == pg_sys::NullTestType::IS_NULL && is_column((*test).arg.cast(), column)
        }
    }
}

fn is_column(node: *mut Node, column: i16) -> bool {
    // SAFETY: as above.
    unsafe { (*node).type_ == NodeTag::T_Var && (*node.cast::<pg_sys::Var>()).varattno == column }
}
