//! Refuses numbers that JSON doesn't have.

use serde::ser::{self, Error as _, Serialize, Serializer};
use serde_json::Error;

/// Walks a value and writes nothing. Fails at the first float that is NaN or infinite.
pub(super) struct Finite;

type Walked = Result<(), Error>;

/// Arguments in parentheses are of no interest.
macro_rules! methods {
    (scalars: $($method:ident($($argument:ty),*))*) => {
        $(fn $method(self, $(_: $argument),*) -> Walked { Ok(()) })*
    };
    (wrappers: $($method:ident($($argument:ty),*))*) => {
        $(fn $method<T: Serialize + ?Sized>(self, $(_: $argument,)* value: &T) -> Walked { value.serialize(self) })*
    };
    (compounds: $($compound:ident $begin:ident($($argument:ty),*))*) => {$(
        type $compound = Finite;
        fn $begin(self, $(_: $argument),*) -> Result<Finite, Error> { Ok(self) }
    )*};
}

macro_rules! walk {
    ($($compound:ident { $($walk:ident($($key:ty)?))* })*) => {
        $(impl ser::$compound for Finite {
            type Ok = ();
            type Error = Error;
            $(fn $walk<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Walked { value.serialize(Finite) })*
            fn end(self) -> Walked { Ok(()) }
        })*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Error;

    methods! { scalars:
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_none() serialize_unit() serialize_unit_struct(&'static str)
        serialize_unit_variant(&'static str, u32, &'static str)
    }
    methods! { wrappers:
        serialize_some() serialize_newtype_struct(&'static str)
        serialize_newtype_variant(&'static str, u32, &'static str)
    }
    methods! { compounds:
        SerializeSeq serialize_seq(Option<usize>)
        SerializeTuple serialize_tuple(usize)
        SerializeTupleStruct serialize_tuple_struct(&'static str, usize)
        SerializeTupleVariant serialize_tuple_variant(&'static str, u32, &'static str, usize)
        SerializeMap serialize_map(Option<usize>)
        SerializeStruct serialize_struct(&'static str, usize)
        SerializeStructVariant serialize_struct_variant(&'static str, u32, &'static str, usize)
    }

    fn serialize_f32(self, number: f32) -> Walked {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Walked {
        number.is_finite().then_some(()).ok_or_else(|| Error::custom(format!("it has no number {number}")))
    }
}

walk! {
    SerializeSeq { serialize_element() }
    SerializeTuple { serialize_element() }
    SerializeTupleStruct { serialize_field() }
    SerializeTupleVariant { serialize_field() }
    SerializeMap { serialize_key() serialize_value() }
    SerializeStruct { serialize_field(&'static str) }
    SerializeStructVariant { serialize_field(&'static str) }
}
