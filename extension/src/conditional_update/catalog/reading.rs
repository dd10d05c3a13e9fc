//! How a column of a type reads as JSON, which decides what a list or an object means in `expected`.
//!
//! A row as it was read, `to_jsonb(row)`, must be a valid `expected` whatever it contains. So if a column can hold
//! lists or objects, they are the value that is expected and never a condition. Read as conditions, stored data could
//! decide what is checked.

use crate::conditional_update::grammar::{Literal, Value};
use pgrx::pg_sys::{self, Oid};
use serde_json::Value as Json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A scalar that compares by its type's equality.
    Scalar,
    /// A scalar, of a type without equality (point, xml).
    Opaque,
    /// A list: an array.
    List,
    /// An object: a composite type.
    Object,
    /// Anything: json, jsonb, a type with a cast to json (hstore).
    Document,
}

impl Reading {
    /// Of a type that is no domain, by the same rules as `to_jsonb`.
    pub fn of(type_oid: Oid) -> Self {
        // SAFETY: catalog look-ups of a running transaction; the type cache's entry lives as long as the backend.
        unsafe {
            if pg_sys::get_element_type(type_oid) != Oid::INVALID {
                return Reading::List;
            }
            if is_json(type_oid) || casts_to_json(type_oid) {
                return Reading::Document;
            }
            if pg_sys::type_is_rowtype(type_oid) {
                return Reading::Object;
            }
            let entry = pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_EQ_OPR as i32);
            match (*entry).eq_opr {
                Oid::INVALID => Reading::Opaque,
                _ => Reading::Scalar,
            }
        }
    }

    /// Is a scalar compared with the column's JSON, because the type has no equality for it?
    pub fn of_scalars(self) -> bool {
        matches!(self, Reading::Opaque | Reading::Document)
    }

    /// Is this list or object a value of the column, and not a condition?
    pub fn takes(self, written: &Literal) -> bool {
        match self {
            Reading::Scalar | Reading::Opaque => false,
            Reading::List => matches!(written.value, Value::Json(Json::Array(_))),
            Reading::Object => matches!(written.value, Value::Json(Json::Object(_))),
            Reading::Document => true,
        }
    }
}

pub fn is_json(type_oid: Oid) -> bool {
    matches!(type_oid, pg_sys::JSONOID | pg_sys::JSONBOID)
}

fn casts_to_json(type_oid: Oid) -> bool {
    if type_oid.to_u32() < pg_sys::FirstNormalObjectId {
        return false;
    }
    let mut function = Oid::INVALID;
    // SAFETY: a catalog look-up of a running transaction, into a variable of ours.
    let path = unsafe {
        let explicit = pg_sys::CoercionContext::COERCION_EXPLICIT;
        pg_sys::find_coercion_pathway(pg_sys::JSONOID, type_oid, explicit, &mut function)
    };
    path == pg_sys::CoercionPathType::COERCION_PATH_FUNC
}
