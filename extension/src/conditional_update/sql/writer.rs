//! Writes one statement. Names are looked up in the catalog and quoted, literals become parameters, functions and
//! operators carry their schema. So no part of a document is read as SQL, and no `search_path` changes the meaning of
//! a statement: Postgres plans it again under the path of each caller.

use crate::conditional_update::catalog::table::{Column, Table};
use crate::conditional_update::grammar::Literal;
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
    /// It reads more than the row of its key. An update that has to wait for a row sees that row anew, but everything
    /// else as it was before the wait. So the row must be locked before such an update begins.
    pub needs_lock: bool,
}

/// A table under the alias that it has in a statement.
#[derive(Clone, Copy, Debug)]
pub struct AliasedRow<'t> {
    pub table: &'t Table,
    pub alias: &'t str,
}

impl AliasedRow<'_> {
    /// A column of this row as SQL.
    pub fn column(&self, column: &Column) -> String {
        format!("{}.{}", self.alias, column.name)
    }
}

/// The alias of the row that is updated. The caller's SQL may use it.
pub const TARGET: &str = "target";

#[derive(Debug)]
pub struct Writer<'d, 't> {
    pub target: AliasedRow<'t>,
    now: TimestampTz,
    sql: String,
    parameters: Vec<Parameter<'d>>,
    probes: Vec<Probe>,
    /// The tables of all `exists` so far.
    pub others: Vec<Oid>,
    /// In how many `exists` the part stands that is being written.
    pub depth: usize,
}

impl<'d, 't> Writer<'d, 't> {
    /// `now` is the time for each `{"now": true}`.
    pub fn new(table: &'t Table, now: TimestampTz) -> Self {
        Writer {
            target: AliasedRow { table, alias: TARGET },
            now,
            sql: String::with_capacity(512),
            parameters: Vec::new(),
            probes: Vec::new(),
            others: Vec::new(),
            depth: 0,
        }
    }

    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// `table AS target`
    pub fn push_target(&mut self) -> &mut Self {
        let AliasedRow { table, alias } = self.target;
        self.push(&table.name).push(" AS ").push(alias)
    }

    /// Another row of the target's table, for [`Writer::push_count_of_twins`].
    pub fn twin(&self) -> AliasedRow<'t> {
        AliasedRow { alias: "twin", ..self.target }
    }

    /// `, how many rows meet the condition`, up to two. The condition is about [`Writer::twin`].
    pub fn push_count_of_twins(&mut self, condition: &str) {
        let twin = self.twin();
        self.push(", (SELECT pg_catalog.count(*) FROM (SELECT FROM ");
        self.push(&twin.table.name).push(" AS ").push(twin.alias);
        self.push(" WHERE ").push(condition);
        self.push(" LIMIT 2) AS found)");
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

    pub fn probe(&mut self, sql: String, path: &Path) {
        let path = path.to_string();
        self.probes.push(Probe { sql, path });
    }

    pub fn finish(self) -> WrittenStatement<'d> {
        let types = self.parameters.iter().map(|parameter| parameter.type_oid);
        let reads_more = !self.others.is_empty() || !self.probes.is_empty();
        WrittenStatement {
            needs_lock: reads_more && !sabotage::removed(Guard::LockFirst),
            shape: Shape { types: types.collect(), sql: self.sql, probes: self.probes },
            parameters: self.parameters,
            others: self.others,
        }
    }
}
