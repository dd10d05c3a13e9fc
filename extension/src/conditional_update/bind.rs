//! From a literal to a value of its column's type, by the type's own input function.

use super::document::Fault;
use super::grammar::Literal;
use super::render::{Parameter, Shape, Statement};
use crate::catch::{catching, raw};
use crate::error::Error;
use crate::spi::Arg;
use pgrx::pg_sys::{self, Datum, Oid};
use std::borrow::Cow;
use std::ffi::CString;

/// A statement with its literals converted.
#[derive(Debug)]
pub struct Bound {
    pub shape: Shape,
    pub args: Vec<Arg>,
}

impl Statement<'_> {
    /// A literal that its type refuses is the type's own error, with the place named.
    pub fn bind(self) -> Result<Bound, Error> {
        let args = self
            .parameters
            .iter()
            .map(|parameter| convert(parameter).map(Some));
        Ok(Bound {
            args: args.collect::<Result<_, _>>()?,
            shape: self.shape,
        })
    }
}

fn convert(parameter: &Parameter) -> Result<Datum, Error> {
    let Parameter {
        literal,
        type_oid,
        typmod,
        path,
    } = parameter;
    let text = CString::new(text(literal, *type_oid).as_ref()).map_err(|_| Fault {
        path: path.clone(),
        problem: "must not contain a NUL character".to_owned(),
        hint: "No type of Postgres takes one in its text.".to_owned(),
    })?;
    let (mut function, mut parameter_type) = (Oid::INVALID, Oid::INVALID);
    // SAFETY: a look-up into two variables of ours; then the input function gets what its type says it takes, and the
    // closure owns nothing.
    unsafe {
        pg_sys::getTypeInputInfo(*type_oid, &mut function, &mut parameter_type);
        let text = text.as_ptr().cast_mut();
        catching(|| raw::OidInputFunctionCall(function, text, parameter_type, *typmod))
            .map_err(|error| error.at(path))
    }
}

/// What the type's input function reads: JSON for a type that holds JSON, the bare scalar for all others.
fn text(literal: &Literal, type_oid: Oid) -> Cow<'_, str> {
    let holds_json = matches!(type_oid, pg_sys::JSONOID | pg_sys::JSONBOID);
    match literal {
        Literal::Text(text) if holds_json => {
            Cow::Owned(serde_json::Value::from(text.as_str()).to_string())
        }
        Literal::Text(text) | Literal::Number(text) => Cow::Borrowed(text),
        Literal::Boolean(true) => Cow::Borrowed("true"),
        Literal::Boolean(false) => Cow::Borrowed("false"),
    }
}
