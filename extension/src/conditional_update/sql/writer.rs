//! Writes one statement. Names are looked up in the catalog and quoted, literals become parameters, functions and
//! operators carry their schema. So no part of a document is read as SQL, and no `search_path` changes the meaning of
//! a statement: Postgres plans it again under the path of each caller.

use super::row::AliasedRow;
use crate::conditional_update::catalog::table::Table;
use crate::conditional_update::grammar::{Literal, TARGET};
use crate::input::document::Path;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, Oid, TimestampTz};

/// What distinguishes one plan from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub sql: String,
    pub types: Vec<Oid>,
    /// To be prepared once before the statement is.
    pub probes: Vec<Probe>,
}

/// A statement with nothing but the caller's own SQL in it, so that its errors are about that SQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    pub sql: String,
    pub path: String,
}

/// What a parameter is made of.
#[derive(Clone, Copy, Debug)]
pub enum Source<'d> {
    Literal(&'d Literal),
    Clock(TimestampTz),
    /// A value that comes from no document.
    Datum(Datum),
}

#[derive(Debug)]
pub struct Parameter<'d> {
    pub source: Source<'d>,
    pub type_oid: Oid,
    pub typmod: i32,
    /// Where the documents have the literal.
    pub path: String,
}

/// A statement with its parameters.
#[derive(Debug)]
pub struct WrittenStatement<'d> {
    pub shape: Shape,
    pub parameters: Vec<Parameter<'d>>,
    /// The tables that its filters read, beside the target.
    pub others: Vec<Oid>,
    /// The first part of the documents that reads more than the row of its key. An update that has to wait for a row
    /// sees that row anew, but everything else as it was before the wait. So the row must be locked before such an
    /// update begins, and the transaction must not have one snapshot for all its statements.
    pub reads_more: Option<String>,
}

#[derive(Debug)]
pub struct Writer<'d, 't> {
    pub target: AliasedRow<'t>,
    now: TimestampTz,
    sql: String,
    parameters: Vec<Parameter<'d>>,
    probes: Vec<Probe>,
    /// The tables of all `exists` so far.
    pub others: Vec<Oid>,
    reads_more: Option<String>,
}

impl<'d, 't> Writer<'d, 't> {
    /// `now` is the time for each `{"now": true}`.
    pub fn new(table: &'t Table, now: TimestampTz) -> Self {
        Writer {
            target: AliasedRow { table, alias: TARGET, name: TARGET, around: None },
            now,
            sql: String::with_capacity(512),
            parameters: Vec::new(),
            probes: Vec::new(),
            others: Vec::new(),
            reads_more: None,
        }
    }

    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// `table AS target`
    pub fn push_target(&mut self) -> &mut Self {
        let AliasedRow { table, alias, .. } = self.target;
        self.push(&table.name).push(" AS ").push(alias)
    }

    /// The lock on the row of an update that reads more than the row. Not `FOR NO KEY UPDATE`, as the update itself
    /// takes: the check of a foreign key to the row has to wait, and an insert that is not yet committed has to be
    /// waited for.
    pub fn push_lock(&mut self) -> &mut Self {
        self.push(match sabotage::removed(Guard::KeyLock) {
            false => " FOR UPDATE OF ",
            true => " FOR NO KEY UPDATE OF ",
        });
        self.push(TARGET)
    }

    /// Another row of the target's table, for [`Writer::count_of_twins`].
    pub fn twin(&self) -> AliasedRow<'t> {
        AliasedRow { alias: "twin", ..self.target }
    }

    /// How many rows meet the condition, up to two. The condition is about [`Writer::twin`].
    pub fn count_of_twins(&self, condition: &str) -> String {
        let AliasedRow { table, alias, .. } = self.twin();
        let twins = format!("SELECT FROM {} AS {alias} WHERE {condition} LIMIT 2", table.name);
        format!("(SELECT pg_catalog.count(*) FROM ({twins}) AS found)")
    }

    /// Makes a literal a parameter, and returns the parameter's SQL.
    pub fn bind(&mut self, literal: &'d Literal, type_oid: Oid, typmod: i32, path: &Path) -> String {
        self.parameter(Source::Literal(literal), type_oid, typmod, path)
    }

    /// The database's clock as a parameter.
    pub fn now(&mut self, path: &Path) -> String {
        self.parameter(Source::Clock(self.now), pg_sys::TIMESTAMPTZOID, -1, path)
    }

    /// A value that comes from no document as a parameter.
    pub fn given(&mut self, value: Datum, type_oid: Oid, path: &Path) -> String {
        self.parameter(Source::Datum(value), type_oid, -1, path)
    }

    fn parameter(&mut self, source: Source<'d>, type_oid: Oid, typmod: i32, path: &Path) -> String {
        self.parameters.push(Parameter { source, type_oid, typmod, path: path.to_string() });
        format!("${}", self.parameters.len())
    }

    /// Notes that the part at this path reads more than the row.
    pub fn reads_more(&mut self, path: &Path) {
        self.reads_more.get_or_insert_with(|| path.to_string());
    }

    /// Whether the caller's SQL reads other tables can't be seen in it, as it may call functions. So it counts as if.
    pub fn probe(&mut self, sql: String, path: &Path) {
        self.reads_more(path);
        let path = path.to_string();
        self.probes.push(Probe { sql, path });
    }

    pub fn finish(self) -> WrittenStatement<'d> {
        let types = self.parameters.iter().map(|parameter| parameter.type_oid);
        WrittenStatement {
            reads_more: self.reads_more.filter(|_| !sabotage::removed(Guard::LockFirst)),
            shape: Shape { types: types.collect(), sql: self.sql, probes: self.probes },
            parameters: self.parameters,
            others: self.others,
        }
    }
}
