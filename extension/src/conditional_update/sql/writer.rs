//! From documents to one statement. Names are looked up in the catalog and quoted, literals become parameters, and
//! functions and operators carry their schema, so that nothing of a document is ever read as SQL, and no `search_path`
//! changes what a statement means: a plan is made anew under the path of whoever runs it.
//!
//! [`super::condition`], [`super::filter`] and [`super::value`] write the parts; [`super::raw_sql`] is the one door for SQL.

use crate::conditional_update::catalog::table::Table;
use crate::conditional_update::grammar::Literal;
use crate::input::document::Path;
use pgrx::pg_sys::{self, Datum, Oid, TimestampTz};

/// What distinguishes one plan from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub sql: String,
    pub types: Vec<Oid>,
    /// To be prepared once before the statement is.
    pub probes: Vec<Probe>,
}

/// A statement around the caller's own SQL and nothing else, whose errors are the caller's.
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
    /// A value that is there already.
    Value(Datum),
}

/// A literal on its way to becoming a value of a type.
#[derive(Debug)]
pub struct Parameter<'d> {
    pub source: Source<'d>,
    pub type_oid: Oid,
    pub typmod: i32,
    /// Where the literal stands in the documents.
    pub path: String,
}

/// A statement with its parameters.
#[derive(Debug)]
pub struct Statement<'d> {
    pub shape: Shape,
    pub parameters: Vec<Parameter<'d>>,
    /// The tables that its filters look at, beside the target.
    pub others: Vec<Oid>,
    /// Does it read more than the row of its key?
    pub reads_more: bool,
}

/// The row that a part of a statement is about.
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    pub table: &'t Table,
    pub alias: &'t str,
}

/// The alias of the row that is updated; SQL of the caller may use it.
pub const TARGET: &str = "target";

/// Writes one statement on a table.
#[derive(Debug)]
pub struct Writer<'d, 't> {
    pub target: Row<'t>,
    now: TimestampTz,
    sql: String,
    parameters: Vec<Parameter<'d>>,
    probes: Vec<Probe>,
    /// The tables that an `exists` was written for.
    pub others: Vec<Oid>,
    /// How many of them the part that is being written stands in.
    pub depth: usize,
}

impl<'d, 't> Writer<'d, 't> {
    /// `now` is what the clock says in each place of the documents.
    pub fn new(table: &'t Table, now: TimestampTz) -> Self {
        Writer {
            target: Row {
                table,
                alias: TARGET,
            },
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

    /// Makes a literal a parameter, and returns what stands for it in the statement.
    pub fn bind(
        &mut self,
        literal: &'d Literal,
        type_oid: Oid,
        typmod: i32,
        path: &Path,
    ) -> String {
        self.parameter(Source::Literal(literal), type_oid, typmod, path)
    }

    /// The database's clock as a parameter.
    pub fn now(&mut self, path: &Path) -> String {
        self.parameter(Source::Clock(self.now), pg_sys::TIMESTAMPTZOID, -1, path)
    }

    /// A value as a parameter, not read from any document.
    pub fn given(&mut self, value: Datum, type_oid: Oid, path: &Path) -> String {
        self.parameter(Source::Value(value), type_oid, -1, path)
    }

    fn parameter(&mut self, source: Source<'d>, type_oid: Oid, typmod: i32, path: &Path) -> String {
        self.parameters.push(Parameter {
            source,
            type_oid,
            typmod,
            path: path.to_string(),
        });
        format!("${}", self.parameters.len())
    }

    pub fn probe(&mut self, sql: String, path: &Path) {
        let path = path.to_string();
        self.probes.push(Probe { sql, path });
    }

    pub fn finish(self) -> Statement<'d> {
        let types = self.parameters.iter().map(|parameter| parameter.type_oid);
        Statement {
            reads_more: !self.others.is_empty() || !self.probes.is_empty(),
            shape: Shape {
                types: types.collect(),
                sql: self.sql,
                probes: self.probes,
            },
            parameters: self.parameters,
            others: self.others,
        }
    }
}
