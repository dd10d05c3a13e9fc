//! What documents of one signature come to: the statement, and where its parameters come from.

use super::memory::Memory;
use super::plan;
use super::row_lock::RowLock;
use crate::conditional_update::catalog::table::{Column, Table};
use crate::conditional_update::grammar::{Choice, Condition, Expectation, Expression, Literal};
use crate::conditional_update::outcome;
use crate::conditional_update::sql::bind::Input;
use crate::conditional_update::sql::writer::{Parameter, Source, Statement};
use crate::conditional_update::update::{Request, only_row};
use crate::input::document::Path;
use crate::input::jsonb::Part;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::invalidation::generation;
use crate::pg::spi::{Arg, Plan, Rows, View, transaction_snapshot_only};
use crate::sabotage::{self, Guard};
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
    lock: Option<Lock>,
    update: Prepared,
    /// Where the values are that never change.
    _memory: Memory,
}

/// How the row is locked before the update.
#[derive(Debug)]
struct Lock {
    /// The short way, where there is one, and which of the update's arguments are the key.
    directly: Option<(RowLock, Vec<usize>)>,
    statement: Prepared,
}

/// A statement with what its parameters get.
#[derive(Debug)]
struct Prepared {
    plan: Rc<Plan>,
    arguments: Vec<Argument>,
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
    /// `generation` is the catalog's from before the statements, the lock and the update, were written.
    pub fn new(
        generation: u64,
        request: &Request,
        table: &Table,
        (lock, update): (Option<&Statement>, &Statement),
        parts: &[Part],
    ) -> Result<Self, Error> {
        let memory = Memory::new();
        let tops = request.tops();
        let prepared = |statement: &Statement| {
            let parameters = statement.parameters.iter();
            let arguments = parameters.map(|it| Argument::of(it, &tops, parts, &memory));
            Ok::<_, Error>(Prepared {
                arguments: arguments.collect::<Result<_, _>>()?,
                plan: plan::plan(&statement.shape)?,
            })
        };
        let lock = match lock {
            None => None,
            Some(lock) => Some(Lock {
                directly: RowLock::new(table, &request.key_columns(table)?)
                    .and_then(|row| Some((row, places(lock, update)?))),
                statement: prepared(lock)?,
            }),
        };
        let others = update.others.iter();
        let others = others.map(|table| (*table, pg_sys::AccessShareLock));
        let target = (request.target, pg_sys::RowExclusiveLock);
        Ok(Recipe {
            generation,
            target: request.target,
            tables: std::iter::once(target).chain(others).collect(),
            lock,
            update: prepared(update)?,
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

    /// Does the update look at more than the row?
    pub fn reads_more(&self) -> bool {
        self.lock.is_some()
    }

    /// Updates the row with what these documents say. `None` if nothing was updated.
    pub fn run(&self, parts: &[Part], now: TimestampTz) -> Result<Option<outcome::Row>, Error> {
        let arguments = self.update.bind(parts, now)?;
        if let Some(lock) = &self.lock
            && !lock.take(&arguments, parts, now)?
        {
            return Ok(None);
        }
        let row = |rows: &_| only_row(rows, self.target);
        self.update.plan.run(View::Transaction, &arguments, row)?
    }
}

/// Where the update has the parameters of the lock, which are those of the key.
fn places(lock: &Statement, update: &Statement) -> Option<Vec<usize>> {
    let is_same = |one: &Parameter, other: &Parameter| match (one.source, other.source) {
        (Source::Literal(one_literal), Source::Literal(literal)) => {
            let types = (one.type_oid, one.typmod) == (other.type_oid, other.typmod);
            types && std::ptr::eq(one_literal, literal)
        }
        _ => false,
    };
    let place = |one| update.parameters.iter().position(|it| is_same(one, it));
    lock.parameters.iter().map(place).collect()
}

impl Lock {
    /// False if there is no such row, as far as one statement can tell.
    fn take(&self, update: &[Arg], parts: &[Part], now: TimestampTz) -> Result<bool, Error> {
        if transaction_snapshot_only() {
            return Ok(true);
        }
        if let Some((row, places)) = &self.directly {
            let key: Vec<Arg> = places.iter().map(|at| update[*at]).collect();
            if row.take(&key)? {
                return Ok(true);
            }
        }
        let arguments = self.statement.bind(parts, now)?;
        let found = |rows: &Rows| rows.len() > 0;
        self.statement
            .plan
            .run(View::Transaction, &arguments, found)
    }
}

impl Prepared {
    fn bind(&self, parts: &[Part], now: TimestampTz) -> Result<Vec<Arg>, Error> {
        let arguments = self.arguments.iter().map(|it| it.value(parts, now));
        arguments.collect()
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
        let literal = match parameter.source {
            Source::Literal(literal) => literal,
            Source::Clock(_) => return Ok(Argument::Clock),
            Source::Value(value) => return Ok(Argument::Value(value)),
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
    /// The key's columns; none if one of them is to be NULL.
    fn key_columns(&self, table: &Table) -> Result<Vec<Column>, Error> {
        let path = Path::root("key");
        let names = match self.key.iter().all(|(_, scalar)| scalar.is_some()) {
            true => self.key.as_slice(),
            false => &[],
        };
        names
            .iter()
            .map(|(name, _)| table.column(name, &path))
            .collect()
    }

    /// What stands at the top of key, changes and expected, if it is a scalar that becomes a parameter.
    fn tops(&self) -> Vec<Option<&Literal>> {
        let key = self.key.iter().map(|(_, scalar)| scalar.as_ref());
        let changes = self.changes.iter().map(|(_, value)| match value {
            Expression::Literal(literal) => Some(literal),
            _ => None,
        });
        let expected = self.expected.iter().map(|(_, expected)| match expected {
            Expectation::Scalar(Condition::AnyOf(Choice::One(scalar))) => scalar.as_ref(),
            _ => None,
        });
        key.chain(changes).chain(expected).collect()
    }
}
