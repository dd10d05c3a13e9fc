//! A cached update: the statements that documents of one cache key come to, and where their parameters come from.

use super::claims;
use super::memory::Memory;
use super::plan;
use super::row_lock::RowLock;
use crate::conditional_update::catalog::side_effects::SideEffects;
use crate::conditional_update::catalog::table::{Column, Table};
use crate::conditional_update::grammar::Literal;
use crate::conditional_update::sql::bind::TypeInput;
use crate::conditional_update::sql::writer::{Parameter, Source, WrittenStatement};
use crate::input::jsonb::{Stored, number_text};
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
pub struct CachedUpdate {
    /// Of the catalog when the statements were written.
    generation: u64,
    /// The target and the tables that the filters read, with the lock modes of the statement.
    tables: Vec<(Oid, u32)>,
    lock: Option<Lock>,
    update: Prepared,
    pub side_effects: Rc<SideEffects>,
    /// Holds the constant values.
    _memory: Memory,
}

/// How the row is locked before the update.
#[derive(Debug)]
struct Lock {
    /// The part of the documents that reads more than the row.
    reads_more: String,
    /// The lock without a statement, if it is possible, and which arguments of the update are its key.
    direct: Option<(RowLock, Vec<usize>)>,
    statement: Prepared,
}

/// A statement and what its parameters get.
#[derive(Debug)]
struct Prepared {
    plan: Rc<Plan>,
    bindings: Vec<Binding>,
}

/// What a parameter gets.
#[derive(Debug)]
enum Binding {
    Clock,
    /// The same value in each call.
    Constant(Datum),
    /// The same text in each call, which its type may read differently each time, such as a timestamp `now`.
    Text(CString, TypeInput),
    /// The scalar with this number among the members of the call's documents.
    Member(usize, TypeInput),
}

/// What other tables hold when the row is locked can be seen only where each statement has a snapshot of its own.
/// `place` is the part of the documents that reads them.
pub fn require_latest(place: &str) -> Result<(), Error> {
    match transaction_snapshot_only() && !sabotage::removed(Guard::LatestOnly) {
        false => Ok(()),
        true => Err(Error::Unsupported {
            what: format!("{place}: may read other tables, which is possible only under READ COMMITTED"),
            hint: "Use a transaction at READ COMMITTED: under another level it can't see what was committed after its snapshot.",
        }),
    }
}

/// A statement that locks the row of the key, and the key's columns.
#[derive(Debug)]
pub struct LockStatement<'d> {
    pub statement: WrittenStatement<'d>,
    /// How many members the key has.
    pub members: usize,
    /// The columns of those that are not null.
    pub columns: Vec<Column>,
    /// The part of the documents that reads more than the row.
    pub reads_more: String,
}

impl CachedUpdate {
    /// From the statements of a call with these members. `generation` is that of the catalog before they were
    /// written. `None` if a scalar among the members has no parameter: then no later call may run these statements.
    pub fn new(
        generation: u64,
        table: &Table,
        lock: Option<&LockStatement>,
        update: &WrittenStatement,
        side_effects: Rc<SideEffects>,
        members: &[Stored],
    ) -> Result<Option<Self>, Error> {
        let key = lock.map(|lock| (&lock.statement, &members[..lock.members]));
        let mut claims = key.into_iter().chain([(update, members)]);
        let is_complete = claims.all(|(statement, members)| takes_all(statement, members));
        debug_assert!(is_complete, "not every scalar is a parameter: {update:?}");
        if !is_complete {
            return Ok(None);
        }
        let memory = Memory::new();
        let lock = match lock {
            None => None,
            Some(lock) => Some(Lock {
                reads_more: lock.reads_more.clone(),
                direct: direct(table, lock, update),
                statement: Prepared::new(&lock.statement, &memory)?,
            }),
        };
        let others = update.others.iter();
        let others = others.map(|table| (*table, pg_sys::AccessShareLock));
        let target = (table.oid(), pg_sys::RowExclusiveLock);
        Ok(Some(CachedUpdate {
            generation,
            tables: std::iter::once(target).chain(others).collect(),
            lock,
            update: Prepared::new(update, &memory)?,
            side_effects,
            _memory: memory,
        }))
    }

    /// Locks the tables as the statements will, and tells whether the catalog is the one that they were written for.
    pub fn is_current(&self) -> Result<bool, Error> {
        // SAFETY: locks by the tables' numbers, whether such tables exist or not; the closure owns nothing.
        unsafe {
            catching(|| {
                for (table, mode) in &self.tables {
                    raw::LockRelationOid(*table, *mode as i32);
                }
            })?;
        }
        Ok(self.generation == generation() || sabotage::removed(Guard::Catalog))
    }

    /// The part of the documents that reads more than the row, if there is one.
    pub fn reads_more(&self) -> Option<&str> {
        self.lock.as_ref().map(|lock| lock.reads_more.as_str())
    }

    /// Runs the update with the members of this call, and `read` on its rows. `None` if the row could not be locked.
    pub fn run<R>(
        &self,
        members: &[Stored],
        now: TimestampTz,
        read: impl FnOnce(&Rows) -> R,
    ) -> Result<Option<R>, Error> {
        let arguments = self.update.bind(members, now)?;
        if let Some(lock) = &self.lock
            && !lock.take(&arguments, members, now)?
        {
            return Ok(None);
        }
        let plan = &self.update.plan;
        plan.run(View::Transaction, &arguments, read).map(Some)
    }
}

/// Do the statement's parameters take all scalars among the members?
fn takes_all(statement: &WrittenStatement, members: &[Stored]) -> bool {
    let parameters = statement.parameters.iter();
    let literals = parameters.filter_map(Parameter::literal);
    claims::are_complete(members, literals, |number| number_text(number).to_string_lossy().into_owned())
}

/// The lock through the key's unique index, if there is one, and which arguments of the update are its columns.
fn direct(table: &Table, lock: &LockStatement, update: &WrittenStatement) -> Option<(RowLock, Vec<usize>)> {
    if lock.columns.len() < lock.members {
        return None;
    }
    let is_same = |one: &Parameter, other: &Parameter| {
        let number = |it: &Parameter| it.literal()?.member();
        let types = (one.type_oid, one.typmod) == (other.type_oid, other.typmod);
        types && number(one).is_some() && number(one) == number(other)
    };
    let found = |one| update.parameters.iter().position(|it| is_same(one, it));
    let arguments: Option<Vec<usize>> = lock.statement.parameters.iter().map(found).collect();
    Some((RowLock::new(table, &lock.columns)?, arguments?))
}

impl Lock {
    /// False if one statement finds no such row.
    fn take(&self, update: &[Arg], members: &[Stored], now: TimestampTz) -> Result<bool, Error> {
        require_latest(&self.reads_more)?;
        if let Some((row, arguments)) = &self.direct {
            let key: Vec<Arg> = arguments.iter().map(|at| update[*at]).collect();
            if row.take(&key)? {
                return Ok(true);
            }
        }
        let arguments = self.statement.bind(members, now)?;
        let found = |rows: &Rows| rows.len() > 0;
        self.statement.plan.run(View::Transaction, &arguments, found)
    }
}

impl Prepared {
    fn new(statement: &WrittenStatement, memory: &Memory) -> Result<Self, Error> {
        let parameters = statement.parameters.iter();
        let bindings = parameters.map(|parameter| Binding::new(parameter, memory));
        Ok(Prepared { bindings: bindings.collect::<Result<_, _>>()?, plan: plan::plan(&statement.shape)? })
    }

    fn bind(&self, members: &[Stored], now: TimestampTz) -> Result<Vec<Arg>, Error> {
        let values = self.bindings.iter().map(|it| it.value(members, now));
        values.collect()
    }
}

impl Binding {
    fn new(parameter: &Parameter, memory: &Memory) -> Result<Self, Error> {
        let literal = match parameter.source {
            Source::Literal(literal) => literal,
            Source::Clock(_) => return Ok(Binding::Clock),
            Source::Datum(_) => unreachable!("an update has no values from outside its documents"),
        };
        let input = TypeInput::of(parameter);
        if let Some(member) = literal.member() {
            return Ok(Binding::Member(member, input));
        }
        let text = parameter.text(literal)?;
        match input.is_immutable() {
            true => Ok(Binding::Constant(memory.within(|| input.read(&text))?)),
            false => Ok(Binding::Text(text, input)),
        }
    }

    fn value(&self, members: &[Stored], now: TimestampTz) -> Result<Arg, Error> {
        match self {
            Binding::Clock => Ok(now.into_datum()),
            Binding::Constant(datum) => Ok(Some(*datum)),
            Binding::Text(text, input) => input.read(text).map(Some),
            Binding::Member(number, input) => input.read_stored(members[*number]).map(Some),
        }
    }
}

impl<'d> Parameter<'d> {
    fn literal(&self) -> Option<&'d Literal> {
        match self.source {
            Source::Literal(literal) => Some(literal),
            _ => None,
        }
    }
}
