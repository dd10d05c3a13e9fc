//! What documents of one signature come to: the statement, and where its parameters come from.

use super::bind::Input;
use super::grammar::{Choice, Condition, Expectation, Expression, Literal};
use super::jsonb::Part;
use super::memory::Memory;
use super::outcome;
use super::render::{Parameter, Source, Statement};
use super::update::{Request, only_row};
use crate::catch::{catching, raw};
use crate::error::Error;
use crate::invalidation::generation;
use crate::sabotage::{self, Guard};
use crate::spi::{Arg, Plan, View};
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid, TimestampTz};
use std::ffi::CString;
use std::rc::Rc;

#[derive(Debug)]
pub struct Recipe {
    /// Of the catalog that it was made from.
    generation: u64,
    target: Oid,
    /// The target and what the filters look at, with the modes that the statement locks them in.
    tables: Vec<(Oid, u32)>,
    plan: Rc<Plan>,
    arguments: Vec<Argument>,
    /// Where the values are that never change.
    _memory: Memory,
}

/// What a parameter gets.
#[derive(Debug)]
enum Argument {
    Clock,
    /// The same each time.
    Value(Datum),
    /// A text that its type may read as something else each time, such as a timestamp `now`.
    Text(CString, Input),
    /// The scalar that stands there at the top of the documents.
    Part(usize, Input),
}

impl Recipe {
    /// `generation` is the catalog's from before the statement was written.
    pub fn new(
        generation: u64,
        request: &Request,
        statement: &Statement,
        plan: Rc<Plan>,
        parts: &[Part],
    ) -> Result<Self, Error> {
        let memory = Memory::new();
        let others = statement.others.iter();
        let others = others.map(|table| (*table, pg_sys::AccessShareLock));
        let tops = request.tops();
        let argument = |parameter: &Parameter| Argument::of(parameter, &tops, parts, &memory);
        Ok(Recipe {
            generation,
            target: request.target,
            tables: std::iter::once((request.target, pg_sys::RowExclusiveLock))
                .chain(others)
                .collect(),
            plan,
            arguments: statement
                .parameters
                .iter()
                .map(argument)
                .collect::<Result<_, _>>()?,
            _memory: memory,
        })
    }

    /// Locks the tables, as the statement will, and tells whether the catalog is as it was when the statement was written.
    pub fn is_current(&self) -> Result<bool, Error> {
        // SAFETY: locks by the tables' numbers, whether there are such tables or not; the closure owns nothing.
        unsafe {
            catching(|| {
                for (table, mode) in &self.tables {
                    raw::LockRelationOid(*table, *mode as i32);
                }
            })?;
        }
        Ok(self.generation == generation() || sabotage::removed(Guard::Catalog))
    }

    /// Runs the statement with what these documents say. `None` if nothing was updated.
    pub fn run(&self, parts: &[Part], now: TimestampTz) -> Result<Option<outcome::Row>, Error> {
        let arguments = self.arguments.iter().map(|it| it.value(parts, now));
        let arguments: Vec<Arg> = arguments.collect::<Result<_, _>>()?;
        let row = |rows: &_| only_row(rows, self.target);
        self.plan.run(View::Transaction, &arguments, row)?
    }
}

impl Argument {
    /// Tells by its address which scalar of the documents the parameter was made from.
    fn of(
        parameter: &Parameter,
        tops: &[Option<&Literal>],
        parts: &[Part],
        memory: &Memory,
    ) -> Result<Self, Error> {
        let Source::Literal(literal) = parameter.source else {
            return Ok(Argument::Clock);
        };
        let input = Input::of(parameter);
        let is_here = |top: &Option<&Literal>| top.is_some_and(|top| std::ptr::eq(top, literal));
        match tops.iter().position(is_here) {
            // A list or an object is part of the signature, also where it stands for a scalar: {"value": 7}.
            Some(at) if !matches!(parts[at], Part::Composed(_)) => Ok(Argument::Part(at, input)),
            _ => {
                let text = parameter.text(literal)?;
                match input.is_immutable() {
                    true => Ok(Argument::Value(memory.within(|| input.read(&text))?)),
                    false => Ok(Argument::Text(text, input)),
                }
            }
        }
    }

    fn value(&self, parts: &[Part], now: TimestampTz) -> Result<Arg, Error> {
        match self {
            Argument::Clock => Ok(now.into_datum()),
            Argument::Value(datum) => Ok(Some(*datum)),
            Argument::Text(text, input) => input.read(text).map(Some),
            Argument::Part(at, input) => input.read_part(parts[*at]).map(Some),
        }
    }
}

impl Request {
    /// What stands at the top of key, values and expected, if it is a scalar that becomes a parameter.
    fn tops(&self) -> Vec<Option<&Literal>> {
        let key = self.key.iter().map(|(_, scalar)| scalar.as_ref());
        let values = self.values.iter().map(|(_, value)| match value {
            Expression::Literal(literal) => Some(literal),
            _ => None,
        });
        let expected = self.expected.iter().map(|(_, expected)| match expected {
            Expectation::Scalar(Condition::AnyOf(Choice::One(scalar))) => scalar.as_ref(),
            _ => None,
        });
        key.chain(values).chain(expected).collect()
    }
}
