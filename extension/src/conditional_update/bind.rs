//! From a literal to a value of its column's type, by the type's own input function.

use super::document::Fault;
use super::render::{Parameter, Shape, Source, Statement};
use crate::catch::{catching, raw};
use crate::error::Error;
use crate::spi::Arg;
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::CString;

/// A statement with its literals converted.
#[derive(Debug)]
pub struct Bound {
    pub shape: Shape,
    pub args: Vec<Arg>,
    /// Does it read more than the row of its key?
    pub reads_more: bool,
}

impl Statement<'_> {
    /// A literal that its type refuses is the type's own error, with the place named.
    pub fn bind(self) -> Result<Bound, Error> {
        let args = self.parameters.iter().map(Parameter::convert);
        Ok(Bound {
            args: args.collect::<Result<_, _>>()?,
            shape: self.shape,
            reads_more: self.reads_more,
        })
    }
}

impl Parameter<'_> {
    fn convert(&self) -> Result<Arg, Error> {
        match self.source {
            Source::Clock(now) => Ok(now.into_datum()),
            Source::Literal(literal) => {
                let path = super::document::Path::root(&self.path);
                let text = literal.text(self.type_oid, &path)?;
                read(text.as_ref(), self.type_oid, self.typmod, &self.path).map(Some)
            }
        }
    }
}

/// What a type's input function makes of a text that stands at `path`.
pub fn read(text: &str, type_oid: Oid, typmod: i32, path: &str) -> Result<Datum, Error> {
    let text = CString::new(text).map_err(|_| Fault {
        path: path.to_owned(),
        problem: "must not contain a NUL character".to_owned(),
        hint: "No type of Postgres takes one in its text.".to_owned(),
    })?;
    let (mut function, mut parameter_type) = (Oid::INVALID, Oid::INVALID);
    // SAFETY: a look-up into two variables of ours; then the input function gets what its type says it takes, and the
    // closure owns nothing.
    unsafe {
        pg_sys::getTypeInputInfo(type_oid, &mut function, &mut parameter_type);
        let text = text.as_ptr().cast_mut();
        catching(|| raw::OidInputFunctionCall(function, text, parameter_type, typmod))
            .map_err(|error| error.at(path))
    }
}
