//! From documents to one statement. Names are looked up in the catalog and quoted, literals become parameters, and
//! functions and operators carry their schema, so that nothing of a document is ever read as SQL, and no `search_path`
//! changes what a statement means: a plan is made anew under the path of whoever runs it.
//!
//! [`super::condition`] and [`super::value`] write the parts.

use super::document::Path;
use super::grammar::Literal;
use super::target::Table;
use pgrx::pg_sys::Oid;

/// What distinguishes one plan from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub sql: String,
    pub types: Vec<Oid>,
}

/// A literal on its way to becoming a value of a type.
#[derive(Debug)]
pub struct Parameter<'d> {
    pub literal: &'d Literal,
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
}

/// Writes one statement on a table, which has the alias `t` in it.
#[derive(Debug)]
pub struct Writer<'d, 't> {
    pub table: &'t Table,
    sql: String,
    parameters: Vec<Parameter<'d>>,
}

impl<'d, 't> Writer<'d, 't> {
    pub fn new(table: &'t Table) -> Self {
        Writer {
            table,
            sql: String::with_capacity(512),
            parameters: Vec::new(),
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
        self.parameters.push(Parameter {
            literal,
            type_oid,
            typmod,
            path: path.to_string(),
        });
        format!("${}", self.parameters.len())
    }

    pub fn finish(self) -> Statement<'d> {
        let types = self.parameters.iter().map(|parameter| parameter.type_oid);
        Statement {
            shape: Shape {
                types: types.collect(),
                sql: self.sql,
            },
            parameters: self.parameters,
        }
    }
}
