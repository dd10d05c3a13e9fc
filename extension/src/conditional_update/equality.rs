//! How values of a type compare: by the type's own default equality, as its indexes and foreign keys do.

use super::target::owned;
use pgrx::pg_sys::{self, Oid};

/// The default equality operator of a type. Named with its schema, so that no `search_path` picks another one.
#[derive(Debug)]
pub struct Equality {
    /// Such as `OPERATOR(pg_catalog.=)`.
    operator: String,
    /// The type that both sides are cast to, where the operator is made for another type (text for varchar).
    cast: Option<String>,
}

impl Equality {
    /// `None` for a type such as json or point that can't be compared.
    pub fn of(type_oid: Oid) -> Option<Self> {
        // SAFETY: catalog look-ups of a running transaction; the entry of the type cache lives as long as the backend.
        unsafe {
            let entry = pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_EQ_OPR as i32);
            let operator = (*entry).eq_opr;
            if operator == Oid::INVALID {
                return None;
            }
            let (mut left, mut right) = (Oid::INVALID, Oid::INVALID);
            pg_sys::op_input_types(operator, &mut left, &mut right);
            let polymorphic = pg_sys::get_typtype(left) as u8 == pg_sys::TYPTYPE_PSEUDO;
            Some(Equality {
                operator: qualified(operator)?,
                cast: (left != type_oid && !polymorphic).then(|| type_name(left)),
            })
        }
    }

    /// SQL for `left = right`.
    pub fn compare(&self, left: &str, right: &str) -> String {
        let operator = &self.operator;
        match &self.cast {
            None => format!("{left} {operator} {right}"),
            Some(cast) => format!("{left}::{cast} {operator} {right}::{cast}"),
        }
    }
}

/// The type that a column's values compare as: a domain's own rules are for what is stored, not for what is asked.
pub fn base_type(type_oid: Oid) -> Oid {
    // SAFETY: a catalog look-up of a running transaction.
    unsafe { pg_sys::getBaseType(type_oid) }
}

/// The name of a type, with its schema, as a cast takes it.
pub fn type_name(type_oid: Oid) -> String {
    // With the flag, and no typmod, it is `bpchar` and not `character`, which would cut at one character.
    const FLAGS: u32 = pg_sys::FORMAT_TYPE_FORCE_QUALIFY | pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN;
    // SAFETY: returns a C string for every type there is.
    unsafe { owned(pg_sys::format_type_extended(type_oid, -1, FLAGS as u16)) }
}

fn qualified(operator: Oid) -> Option<String> {
    const CACHE: i32 = pg_sys::SysCacheIdentifier::OPEROID as i32;
    // SAFETY: the tuple is released after its fields were copied. An operator's name needs no quoting.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(CACHE, pg_sys::Datum::from(operator));
        if tuple.is_null() {
            return None;
        }
        let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_operator>(tuple);
        let name = owned((*form).oprname.data.as_ptr());
        let schema = pg_sys::get_namespace_name((*form).oprnamespace);
        let schema = owned(pg_sys::quote_identifier(schema));
        pg_sys::ReleaseSysCache(tuple);
        Some(format!("OPERATOR({schema}.{name})"))
    }
}
