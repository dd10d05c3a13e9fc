//! A literal as text for its type's input function.

use crate::conditional_update::catalog::names::{owned, type_name};
use crate::conditional_update::catalog::operators::base_type;
use crate::conditional_update::catalog::reading::is_json;
use crate::conditional_update::grammar::{Literal, Value};
use crate::input::document::{Fault, Path};
use pgrx::PgTupleDesc;
use pgrx::pg_sys::{self, Oid};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;

impl Literal {
    /// Does it stand for NULL in a column of this type? A JSON column has the null of JSON instead.
    pub fn is_null_to(&self, type_oid: Oid) -> bool {
        self.value == Value::Json(Json::Null) && !is_json(type_oid)
    }

    /// JSON for a type that holds JSON, else a scalar as it is, a list as an array, an object as a composite value.
    pub fn text(&self, type_oid: Oid, path: &Path) -> Result<Cow<'_, str>, Fault> {
        let type_oid = base_type(type_oid);
        Ok(match &self.value {
            Value::Text(text) if is_json(type_oid) => Cow::Owned(Json::from(text.as_str()).to_string()),
            Value::Text(text) | Value::Number(text) => Cow::Borrowed(text),
            Value::Boolean(true) => Cow::Borrowed("true"),
            Value::Boolean(false) => Cow::Borrowed("false"),
            Value::Json(json) => Cow::Owned(text(json, type_oid, path)?),
        })
    }
}

/// The text of a value that isn't NULL.
fn text(json: &Json, type_oid: Oid, path: &Path) -> Result<String, Fault> {
    let type_oid = base_type(type_oid);
    match json {
        json if is_json(type_oid) => Ok(json.to_string()),
        Json::Array(items) => array(items, type_oid, path),
        Json::Object(members) => composite(members, type_oid, path),
        Json::String(text) => Ok(text.clone()),
        scalar => Ok(scalar.to_string()),
    }
}

/// `{"a",NULL,{...}}`
fn array(items: &[Json], type_oid: Oid, path: &Path) -> Result<String, Fault> {
    // SAFETY: catalog look-ups of a running transaction.
    let (element, delimiter) = unsafe {
        let element = pg_sys::get_element_type(type_oid);
        (element, delimiter(element))
    };
    if element == Oid::INVALID {
        return Err(path.fault(
            format!("type {} takes no list", type_name(type_oid)),
            "Write a scalar; lists are for arrays and for columns that hold JSON.",
        ));
    }
    let mut texts = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let path = path.item(at);
        texts.push(match item {
            Json::Null => "NULL".to_owned(),
            // An array of arrays has the type of its members.
            Json::Array(items) if !is_json(base_type(element)) => array(items, type_oid, &path)?,
            item => quoted(&text(item, element, &path)?),
        });
    }
    Ok(format!("{{{}}}", texts.join(&delimiter)))
}

/// # Safety
/// Called in a running transaction.
unsafe fn delimiter(element: Oid) -> String {
    const CACHE: i32 = pg_sys::SysCacheIdentifier::TYPEOID as i32;
    // SAFETY: the tuple is released after its field was copied.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(CACHE, pg_sys::Datum::from(element));
        if tuple.is_null() {
            return ",".to_owned();
        }
        let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_type>(tuple);
        let delimiter = (*form).typdelim as u8 as char;
        pg_sys::ReleaseSysCache(tuple);
        delimiter.to_string()
    }
}

/// `("a",,"b")`
fn composite(members: &Map<String, Json>, type_oid: Oid, path: &Path) -> Result<String, Fault> {
    // SAFETY: a catalog look-up of a running transaction.
    if !unsafe { pg_sys::type_is_rowtype(type_oid) } || type_oid == pg_sys::RECORDOID {
        return Err(path.fault(
            format!("type {} takes no object", type_name(type_oid)),
            "Write a scalar; objects are for columns that hold JSON or a composite type.",
        ));
    }
    let fields = fields(type_oid);
    if let Some(unknown) = members.keys().find(|name| !fields.iter().any(|(field, _)| field == *name)) {
        return Err(path.member(unknown).fault(
            format!("type {} has no such field", type_name(type_oid)),
            "Name the fields of the type; those that are left out are NULL.",
        ));
    }
    let mut texts = Vec::with_capacity(fields.len());
    for (name, field_type) in &fields {
        texts.push(match members.get(name) {
            None | Some(Json::Null) => String::new(),
            Some(member) => quoted(&text(member, *field_type, &path.member(name))?),
        });
    }
    Ok(format!("({})", texts.join(",")))
}

/// The names and types of a composite type's fields, without dropped fields.
fn fields(type_oid: Oid) -> Vec<(String, Oid)> {
    // SAFETY: a composite type; the descriptor is a copy, which is freed on drop.
    let descriptor = unsafe { PgTupleDesc::from_pg_is_copy(pg_sys::lookup_rowtype_tupdesc_copy(type_oid, -1)) };
    descriptor
        .iter()
        .filter(|attribute| !attribute.attisdropped)
        // SAFETY: an attribute's name is a C string.
        .map(|attribute| unsafe { (owned(attribute.attname.data.as_ptr()), attribute.atttypid) })
        .collect()
}

/// In the quotes of both an array and a composite value.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
