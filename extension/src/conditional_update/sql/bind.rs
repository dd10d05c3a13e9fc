//! From a literal to a value of its column's type, by the type's own input function.

use super::writer::{Parameter, Source, Statement};
use crate::conditional_update::catalog::operators::base_type;
use crate::conditional_update::catalog::reading::is_json;
use crate::conditional_update::grammar::Literal;
use crate::input::document::{Fault, Path};
use crate::input::jsonb::{Part, number_text};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::spi::Arg;
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// A type's input function, for what stands at a place in the documents.
#[derive(Debug)]
pub struct Input {
    function: Oid,
    parameter_type: Oid,
    typmod: i32,
    takes_json: bool,
    /// A text without a limit, which takes every text as it is.
    is_text: bool,
    path: String,
}

impl Statement<'_> {
    /// The parameters. A literal that its type refuses is the type's own error, with the place named.
    pub fn bind(&self) -> Result<Vec<Arg>, Error> {
        self.parameters.iter().map(Parameter::convert).collect()
    }
}

impl Parameter<'_> {
    fn convert(&self) -> Result<Arg, Error> {
        match self.source {
            Source::Clock(now) => Ok(now.into_datum()),
            Source::Value(value) => Ok(Some(value)),
            Source::Literal(literal) => Input::of(self).read(&self.text(literal)?).map(Some),
        }
    }

    pub fn text(&self, literal: &Literal) -> Result<CString, Error> {
        let text = literal.text(self.type_oid, &Path::root(&self.path))?;
        c_string(text.as_ref(), &self.path)
    }
}

/// What a type's input function makes of a text that stands at `path`.
pub fn read(text: &str, type_oid: Oid, typmod: i32, path: &str) -> Result<Datum, Error> {
    Input::new(type_oid, typmod, path).read(&c_string(text, path)?)
}

fn c_string(text: &str, path: &str) -> Result<CString, Error> {
    let fault = |_| Fault {
        path: path.to_owned(),
        problem: "must not contain a NUL character".to_owned(),
        hint: "No type of Postgres takes one in its text.".to_owned(),
    };
    Ok(CString::new(text).map_err(fault)?)
}

impl Input {
    pub fn of(parameter: &Parameter) -> Self {
        Input::new(parameter.type_oid, parameter.typmod, &parameter.path)
    }

    pub fn new(type_oid: Oid, typmod: i32, path: &str) -> Self {
        let (mut function, mut parameter_type) = (Oid::INVALID, Oid::INVALID);
        // SAFETY: a look-up of a running transaction, into two variables of ours.
        unsafe { pg_sys::getTypeInputInfo(type_oid, &mut function, &mut parameter_type) };
        Input {
            function,
            parameter_type,
            typmod,
            takes_json: is_json(base_type(type_oid)),
            is_text: type_oid == pg_sys::TEXTOID,
            path: path.to_owned(),
        }
    }

    /// Is there no text that it refuses?
    pub fn takes_all(&self) -> bool {
        self.is_text
    }

    /// Does it make the same of a text each time, whatever the settings and the clock?
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

    /// Makes of a scalar what [`Literal::text`] and [`Input::read`] make of it.
    pub fn read_part(&self, part: Part) -> Result<Datum, Error> {
        match part {
            // What textin does, which finds the length anew. No jsonb holds a NUL character.
            Part::Text(text) if self.is_text => {
                Ok(Datum::from(pgrx::rust_byte_slice_to_bytea(text).into_pg()))
            }
            Part::Text(text) => {
                let text = String::from_utf8_lossy(text);
                let text = match self.takes_json {
                    true => Cow::Owned(serde_json::Value::from(text.as_ref()).to_string()),
                    false => text,
                };
                self.read(&c_string(&text, &self.path)?)
            }
            Part::Boolean(true) => self.read(c"true"),
            Part::Boolean(false) => self.read(c"false"),
            Part::Number(number) => self.read(number_text(number)),
            Part::Null | Part::Composed(_) => unreachable!("not what a parameter is made of"),
        }
    }
}
