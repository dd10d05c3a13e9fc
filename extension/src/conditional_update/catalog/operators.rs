//! How values compare: by the default operators of their types, as in indexes and foreign keys. Each operator is
//! named with its schema, so that no `search_path` selects another one.

use super::names::{owned, type_name};
use crate::conditional_update::grammar::Comparison;
use pgrx::pg_sys::{self, Oid};

/// An operator between two types, and the casts that its sides need.
#[derive(Debug)]
pub struct Operator {
    /// Such as `OPERATOR(pg_catalog.=)`.
    operator: String,
    left_cast: Option<String>,
    right_cast: Option<String>,
}

impl Operator {
    /// The default equality of a type; `None` for one such as json or point that can't be compared.
    pub fn equality(type_oid: Oid) -> Option<Self> {
        // SAFETY: a catalog look-up of a running transaction; the type cache's entry lives as long as the backend.
        let operator = unsafe { (*pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr };
        Operator::between(operator, type_oid, type_oid)
    }

    /// The operator that compares a column with a value: that of the default order, after an implicit conversion if
    /// their types differ.
    pub fn comparing(comparison: Comparison, left: Oid, right: Oid) -> Option<Self> {
        let strategy = match comparison {
            Comparison::Lt => pg_sys::BTLessStrategyNumber,
            Comparison::Le => pg_sys::BTLessEqualStrategyNumber,
            Comparison::Gt => pg_sys::BTGreaterStrategyNumber,
            Comparison::Ge => pg_sys::BTGreaterEqualStrategyNumber,
            Comparison::Eq | Comparison::Ne if left == right => return Operator::equality(left),
            Comparison::Eq | Comparison::Ne => pg_sys::BTEqualStrategyNumber,
        };
        let member = |left, right| ordered(strategy, left, right);
        if let Some(operator) = member(left, right) {
            return Operator::between(operator, left, right);
        }
        let common = match (converts(right, left), converts(left, right)) {
            (true, _) => left,
            (_, true) => right,
            _ => return None,
        };
        let cast = |from| (from != common).then(|| type_name(common));
        let operator = Operator::between(member(common, common)?, common, common)?;
        Some(Operator {
            left_cast: operator.left_cast.or_else(|| cast(left)),
            right_cast: operator.right_cast.or_else(|| cast(right)),
            ..operator
        })
    }

    fn between(operator: Oid, left: Oid, right: Oid) -> Option<Self> {
        if operator == Oid::INVALID {
            return None;
        }
        let (mut takes_left, mut takes_right) = (Oid::INVALID, Oid::INVALID);
        // SAFETY: a catalog look-up of a running transaction, into two variables of ours.
        unsafe { pg_sys::op_input_types(operator, &mut takes_left, &mut takes_right) };
        Some(Operator {
            operator: qualified(operator)?,
            left_cast: cast(left, takes_left),
            right_cast: cast(right, takes_right),
        })
    }

    /// SQL for `left = right`.
    pub fn compare(&self, left: &str, right: &str) -> String {
        let cast = |side: &str, cast: &Option<String>| match cast {
            None => side.to_owned(),
            Some(cast) => format!("{side}::{cast}"),
        };
        let (left, right) = (cast(left, &self.left_cast), cast(right, &self.right_cast));
        format!("{left} {} {right}", self.operator)
    }
}

/// The cast of a value for an operator that takes another type (text for varchar); none if it takes any type.
fn cast(from: Oid, to: Oid) -> Option<String> {
    // SAFETY: a catalog look-up of a running transaction.
    let polymorphic = unsafe { pg_sys::get_typtype(to) } as u8 == pg_sys::TYPTYPE_PSEUDO;
    (from != to && !polymorphic).then(|| type_name(to))
}

/// The operator that the two types' default order has for the strategy.
fn ordered(strategy: u32, left: Oid, right: Oid) -> Option<Oid> {
    // SAFETY: catalog look-ups of a running transaction; the type cache's entries live as long as the backend.
    unsafe {
        let family = pg_sys::TYPECACHE_BTREE_OPFAMILY as i32;
        let of_left = &*pg_sys::lookup_type_cache(left, family);
        let of_right = &*pg_sys::lookup_type_cache(right, family);
        let (takes_left, takes_right) = (of_left.btree_opintype, of_right.btree_opintype);
        let polymorphic = pg_sys::get_typtype(takes_left) as u8 == pg_sys::TYPTYPE_PSEUDO;
        if of_left.btree_opf == Oid::INVALID
            || of_left.btree_opf != of_right.btree_opf
            || (polymorphic && left != right)
        {
            return None;
        }
        let strategy = strategy as i16;
        let operator = pg_sys::get_opfamily_member(of_left.btree_opf, takes_left, takes_right, strategy);
        (operator != Oid::INVALID).then_some(operator)
    }
}

/// Does Postgres convert one type into the other implicitly?
fn converts(from: Oid, to: Oid) -> bool {
    // SAFETY: a catalog look-up of a running transaction, about one type each.
    unsafe {
        let implicitly = pg_sys::CoercionContext::COERCION_IMPLICIT;
        pg_sys::can_coerce_type(1, &from, &to, implicitly)
    }
}

/// The type that a column's values compare as: the rules of a domain apply to what is stored, not to conditions.
pub fn base_type(type_oid: Oid) -> Oid {
    // SAFETY: a catalog look-up of a running transaction.
    unsafe { pg_sys::getBaseType(type_oid) }
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
