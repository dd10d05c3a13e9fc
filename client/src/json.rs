//! JSON as text. A number keeps every digit that it was written with.

use crate::Error;
use serde::Serialize;
use serde::ser::{self, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

pub(crate) type Json = Box<RawValue>;

/// A part of a document, or what is wrong with it. It is returned on sending, so that building needs no `?`.
pub(crate) type Part = Result<Json, String>;

/// A value as JSON. NaN and infinities are refused: serde_json would write `null`.
pub(crate) fn json(value: impl Serialize) -> Part {
    let written = value.serialize(Finite).and_then(|()| to_raw_value(&value));
    written.map_err(|error| format!("is given a value that is no JSON: {error}"))
}

/// A literal as it stands in a document: a scalar. Data must never turn into an operator or choices.
pub(crate) fn scalar(value: impl Serialize) -> Part {
    let json = json(value)?;
    match json.get().as_bytes() {
        [b'{', ..] => Err("is given an object, which is no literal (use `value` for JSON)".to_owned()),
        [b'[', ..] => Err("is given an array, which is no literal (use `one_of`, or `value` for JSON)".to_owned()),
        _ => Ok(json),
    }
}

/// The columns of a row, unchanged: a value is a condition only if a column of its type can't hold it.
pub(crate) fn columns(row: impl Serialize) -> Vec<(String, Part)> {
    let columns = json(row).and_then(|row| {
        let columns: Result<BTreeMap<String, Json>, _> = serde_json::from_str(row.get());
        columns.map_err(|_| "is given a row that is no object of columns".to_owned())
    });
    match columns {
        Ok(columns) => columns.into_iter().map(|(column, value)| (column, Ok(value))).collect(),
        Err(problem) => vec![("expected".to_owned(), Err(problem))],
    }
}

/// An object of these members. Their names differ.
pub(crate) fn object<const N: usize>(members: [(&str, Json); N]) -> Part {
    json(BTreeMap::from(members))
}

pub(crate) fn operator(name: &str, operand: Part) -> Part {
    object([(name, operand?)])
}

pub(crate) fn array(items: impl IntoIterator<Item = Part>) -> Part {
    json(items.into_iter().collect::<Result<Vec<Json>, String>>()?)
}

/// An object with one member per column. A second one for a column is refused, because only the last would be left.
pub(crate) fn document(entries: &[(String, Part)]) -> Result<Json, Error> {
    let mut members = BTreeMap::new();
    for (column, part) in entries {
        let part = part.as_ref().map_err(|problem| invalid(column, problem.clone()))?;
        if members.insert(column, part).is_some() {
            return Err(invalid(column, "is named twice".to_owned()));
        }
    }
    json(members).map_err(|problem| invalid("document", problem))
}

/// `subject` is a column or an argument.
pub(crate) fn invalid(subject: &str, problem: String) -> Error {
    Error::InvalidDocument { column: subject.to_owned(), problem }
}

/// Walks a value and writes nothing. Fails at the first float that is NaN or infinite.
struct Finite;

type Walked<T = ()> = serde_json::Result<T>;
type Name = &'static str;

/// The methods of [`Finite`]. Arguments in parentheses are of no interest.
macro_rules! walk {
    (
        scalars { $($scalar:ident($($about:ty),*))* }
        wrappers { $($wrapper:ident($($within:ty),*))* }
        compounds { $($compound:ident $begin:ident($($of:ty),*) { $($part:ident($($key:ty)?))* })* }
    ) => {
        impl Serializer for Finite {
            type Ok = ();
            type Error = serde_json::Error;
            $(type $compound = Finite;)*
            $(fn $scalar(self, $(_: $about),*) -> Walked { Ok(()) })*
            $(fn $wrapper<T: Serialize + ?Sized>(self, $(_: $within,)* value: &T) -> Walked { value.serialize(self) })*
            $(fn $begin(self, $(_: $of),*) -> Walked<Finite> { Ok(self) })*
            fn serialize_f32(self, number: f32) -> Walked { self.serialize_f64(number.into()) }
            fn serialize_f64(self, number: f64) -> Walked {
                number.is_finite().then_some(()).ok_or_else(|| ser::Error::custom(format!("it has no number {number}")))
            }
        }
        $(impl ser::$compound for Finite {
            type Ok = ();
            type Error = serde_json::Error;
            $(fn $part<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Walked { value.serialize(Finite) })*
            fn end(self) -> Walked { Ok(()) }
        })*
    };
}

walk! {
    scalars {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_none() serialize_unit() serialize_unit_struct(Name) serialize_unit_variant(Name, u32, Name)
    }
    wrappers {
        serialize_some() serialize_newtype_struct(Name) serialize_newtype_variant(Name, u32, Name)
    }
    compounds {
        SerializeSeq serialize_seq(Option<usize>) { serialize_element() }
        SerializeTuple serialize_tuple(usize) { serialize_element() }
        SerializeTupleStruct serialize_tuple_struct(Name, usize) { serialize_field() }
        SerializeTupleVariant serialize_tuple_variant(Name, u32, Name, usize) { serialize_field() }
        SerializeMap serialize_map(Option<usize>) { serialize_key() serialize_value() }
        SerializeStruct serialize_struct(Name, usize) { serialize_field(Name) }
        SerializeStructVariant serialize_struct_variant(Name, u32, Name, usize) { serialize_field(Name) }
    }
}
