//! From a literal to a value of its column's type, by the type's own input function.

use super::writer::{Parameter, Source, WrittenStatement};
use crate::conditional_update::catalog::operators::base_type;
use crate::conditional_update::catalog::reading::is_json;
use crate::conditional_update::grammar::Literal;
use crate::input::document::{Fault, Path};
use crate::input::jsonb::{Stored, number_text};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::spi::Arg;
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// A type's input function, for text that comes from one path of the documents.
#[derive(Debug)]
pub struct TypeInput {
    function: Oid,
    parameter_type: Oid,
    typmod: i32,
    takes_json: bool,
    /// `text`, which takes every text unchanged.
    is_text: bool,
    path: String,
}

impl WrittenStatement<'_> {
    /// The values of the parameters. If a type refuses a literal, its error gets the path in front.
    pub fn bind(&self) -> Result<Vec<Arg>, Error> {
        self.parameters.iter().map(Parameter::convert).collect()
    }
}

impl Parameter<'_> {
    fn convert(&self) -> Result<Arg, Error> {
        match self.source {
            Source::Clock(now) => Ok(now.into_datum()),
            Source::Datum(value) => Ok(Some(value)),
            Source::Literal(literal) => TypeInput::of(self).read(&self.text(literal)?).map(Some),
        }
    }

    pub fn text(&self, literal: &Literal) -> Result<CString, Error> {
        let text = literal.text(self.type_oid, &Path::root(&self.path))?;
        c_string(text.as_ref(), &self.path)
    }
}

fn c_string(text: &str, path: &str) -> Result<CString, Error> {
    let fault = |_| Fault {
        path: path.to_owned(),
        problem: "must not contain a NUL character".to_owned(),
        hint: "No type of Postgres takes one in its text.".to_owned(),
    };
    Ok(CString::new(text).map_err(fault)?)
}

impl TypeInput {
    pub fn of(parameter: &Parameter) -> Self {
        TypeInput::new(parameter.type_oid, parameter.typmod, &parameter.path)
    }

    pub fn new(type_oid: Oid, typmod: i32, path: &str) -> Self {
        let (mut function, mut parameter_type) = (Oid::INVALID, Oid::INVALID);
        // SAFETY: a look-up of a running transaction, into two variables of ours.
        unsafe { pg_sys::getTypeInputInfo(type_oid, &mut function, &mut parameter_type) };
        TypeInput {
            function,
            parameter_type,
            typmod,
            takes_json: is_json(base_type(type_oid)),
            is_text: type_oid == pg_sys::TEXTOID,
            path: path.to_owned(),
        }
    }

    /// Does it take every text?
    pub fn takes_all(&self) -> bool {
        self.is_text
    }

    /// Does it read a text as the same value each time, whatever the settings and the clock?
    pub fn is_immutable(&self) -> bool {
        // SAFETY: a look-up of a running transaction.
        unsafe { pg_sys::func_volatile(self.function) as u8 == pg_sys::PROVOLATILE_IMMUTABLE }
    }

    pub fn read(&self, text: &CStr) -> Result<Datum, Error> {
        let (function, parameter_type) = (self.function, self.parameter_type);
        let (text, typmod) = (text.as_ptr().cast_mut(), self.typmod);
        // SAFETY: the function gets what its type says it takes, and the closure owns nothing.
        unsafe {
            catching(|| raw::OidInputFunctionCall(function, text, parameter_type, typmod))
                .map_err(|error| error.at(&self.path))
        }
    }

    pub fn read_str(&self, text: &str) -> Result<Datum, Error> {
        self.read(&c_string(text, &self.path)?)
    }

    /// Reads a scalar in place, with the same result as [`Literal::text`] and [`TypeInput::read`].
    pub fn read_stored(&self, stored: Stored) -> Result<Datum, Error> {
        match stored {
            // As textin, but the length is known. A jsonb holds no NUL character.
            Stored::Text(text) if self.is_text => Ok(Datum::from(pgrx::rust_byte_slice_to_bytea(text).into_pg())),
            Stored::Text(text) => {
                let text = String::from_utf8_lossy(text);
                self.read_str(&match self.takes_json {
                    true => Cow::Owned(serde_json::Value::from(text.as_ref()).to_string()),
                    false => text,
                })
            }
            Stored::Boolean(true) => self.read(c"true"),
            Stored::Boolean(false) => self.read(c"false"),
            Stored::Number(number) => self.read(number_text(number)),
            Stored::Null | Stored::Composed(_) => unreachable!("a parameter is made of a scalar"),
        }
    }
}
