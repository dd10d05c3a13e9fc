//! Values as SQL: what columns are set to, or compared with.

use super::arithmetic::{operand_type, result_type, symbol};
use super::row::AliasedRow;
use super::writer::Writer;
use crate::conditional_update::catalog::names::type_name;
use crate::conditional_update::catalog::operators::base_type;
use crate::conditional_update::catalog::table::Column;
use crate::conditional_update::grammar::{Arithmetic, Columns, Expression, Filter, Literal};
use crate::input::document::Path;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};

/// What a value is for. It decides the type of a literal in it.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'c> {
    Assignment(&'c Column),
    Comparison(&'c Column),
    /// An operand in what is calculated for the column.
    Arithmetic(&'c Column),
    /// A part of a text for the column.
    Text(&'c Column),
}

impl<'c> Purpose<'c> {
    fn column(self) -> &'c Column {
        match self {
            Purpose::Assignment(column)
            | Purpose::Comparison(column)
            | Purpose::Arithmetic(column)
            | Purpose::Text(column) => column,
        }
    }

    /// NULL with its type: a CASE of nothing but untyped NULL would be of type text.
    fn null(self) -> Sql {
        let type_oid = match self {
            Purpose::Text(_) => pg_sys::TEXTOID,
            purpose => base_type(purpose.column().type_oid),
        };
        Sql::nullable(format!("NULL::{}", type_name(type_oid)), type_oid)
    }
}

/// A value as SQL that can stand beside any operator.
#[derive(Debug)]
pub struct Sql {
    pub text: String,
    pub type_oid: Oid,
    pub nullable: bool,
}

impl Sql {
    fn nullable(text: String, type_oid: Oid) -> Self {
        Sql { text, type_oid, nullable: true }
    }

    fn not_null(text: String, type_oid: Oid) -> Self {
        Sql { text, type_oid, nullable: false }
    }
}

impl<'d> Writer<'d, '_> {
    /// `UPDATE … SET …`
    pub fn update(&mut self, changes: &'d Columns<Expression>, changes_sql: &[(String, String)]) -> Result<(), Error> {
        let row = self.target;
        let mut assignments = Vec::with_capacity(changes.len() + changes_sql.len());
        let path = Path::root("changes");
        for (name, value) in changes {
            let path = path.member(name);
            let column = row.table.column(name, &path)?;
            let value = match value {
                Expression::Null => "NULL".to_owned(),
                value => {
                    let purpose = Purpose::Assignment(&column);
                    self.value(row, value, purpose, &path)?.text
                }
            };
            assignments.push(format!("{} = {value}", column.name));
        }
        let path = Path::root("changes_sql");
        for (name, sql) in changes_sql {
            let path = path.member(name);
            let column = row.table.column(name, &path)?;
            let value = self.raw_value(sql, &path)?;
            assignments.push(format!("{} = {value}", column.name));
        }
        self.push("UPDATE ").push_target();
        self.push(" SET ").push(&assignments.join(", "));
        Ok(())
    }

    /// A value, computed from `row`.
    pub fn value(
        &mut self,
        row: AliasedRow,
        value: &'d Expression,
        purpose: Purpose,
        path: &Path,
    ) -> Result<Sql, Error> {
        match value {
            Expression::Null => Ok(purpose.null()),
            Expression::Literal(literal) => self.literal(literal, purpose, path),
            Expression::Now => {
                let now = self.now(&path.member("now"));
                Ok(Sql::not_null(now, pg_sys::TIMESTAMPTZOID))
            }
            Expression::Column(name) => column(row, name, &path.member("column")),
            Expression::Outer(outer) => {
                let path = path.member("outer");
                column(row.enclosing(outer.row.as_deref(), &path)?, &outer.column, &path)
            }
            Expression::Arithmetic(arithmetic, operands) => {
                self.calculation(row, *arithmetic, operands, purpose.column(), path)
            }
            Expression::Concat(parts) => self.concat(row, parts, purpose.column(), path),
            Expression::Case { branches, otherwise } => self.case(row, branches, otherwise, purpose, path),
        }
    }

    fn literal(&mut self, literal: &'d Literal, purpose: Purpose, path: &Path) -> Result<Sql, Error> {
        let (type_oid, typmod) = match purpose {
            // With the column's own length and precision, so that the path of a value that doesn't fit is known.
            Purpose::Assignment(column) => (column.type_oid, column.typmod),
            Purpose::Comparison(column) => (base_type(column.type_oid), -1),
            Purpose::Arithmetic(column) => (operand_type(literal, column, path)?, -1),
            Purpose::Text(_) => (pg_sys::TEXTOID, -1),
        };
        if literal.is_null_to(base_type(type_oid)) {
            return Ok(purpose.null());
        }
        let parameter = self.bind(literal, type_oid, typmod, path);
        Ok(Sql::not_null(parameter, base_type(type_oid)))
    }

    fn calculation(
        &mut self,
        row: AliasedRow,
        arithmetic: Arithmetic,
        operands: &'d [Expression; 2],
        column: &Column,
        path: &Path,
    ) -> Result<Sql, Error> {
        let path = path.member(arithmetic.name());
        let purpose = Purpose::Arithmetic(column);
        let left = self.value(row, &operands[0], purpose, &path.item(0))?;
        let right = self.value(row, &operands[1], purpose, &path.item(1))?;
        let operator = symbol(arithmetic);
        let symbol = operator.to_string_lossy();
        let Some(type_oid) = result_type(operator, left.type_oid, right.type_oid) else {
            let (left, right) = (type_name(left.type_oid), type_name(right.type_oid));
            return Err(Error::NoOperator {
                path: path.to_string(),
                problem: format!("Postgres can't calculate {left} {symbol} {right}"),
                hint: "Calculate with numbers, or with times and intervals; use changes_sql or filter_sql for anything else.",
            });
        };
        let (left, right) = (left.text, right.text);
        let text = format!("({left} OPERATOR(pg_catalog.{symbol}) {right})");
        // An operator may return NULL for any operands.
        Ok(Sql::nullable(text, type_oid))
    }

    fn concat(&mut self, row: AliasedRow, parts: &'d [Expression], column: &Column, path: &Path) -> Result<Sql, Error> {
        let path = path.member("concat");
        let mut texts = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let part = self.value(row, part, Purpose::Text(column), &path.item(at))?;
            texts.push(format!("{}::pg_catalog.text", part.text));
        }
        let text = format!("({})", texts.join(" OPERATOR(pg_catalog.||) "));
        Ok(Sql::nullable(text, pg_sys::TEXTOID))
    }

    fn case(
        &mut self,
        row: AliasedRow,
        branches: &'d [(Filter, Expression)],
        otherwise: &'d Expression,
        purpose: Purpose,
        path: &Path,
    ) -> Result<Sql, Error> {
        let mut sql = "(CASE".to_owned();
        let mut types = Vec::with_capacity(branches.len() + 1);
        let cases = path.member("case");
        for (at, (when, then)) in branches.iter().enumerate() {
            let path = cases.item(at);
            let when = self.filter(row, when, &path.member("when"))?;
            let value = self.value(row, then, purpose, &path.member("then"))?;
            sql.push_str(&format!(" WHEN {when} THEN {}", value.text));
            types.push(value.type_oid);
        }
        let value = self.value(row, otherwise, purpose, &path.member("else"))?;
        sql.push_str(&format!(" ELSE {} END)", value.text));
        let is_uniform = types.iter().all(|other| *other == value.type_oid);
        // In an assignment Postgres finds the common type, and a value that doesn't fit the column is an error.
        if is_uniform || matches!(purpose, Purpose::Assignment(_)) {
            return Ok(Sql::nullable(sql, types[0]));
        }
        let type_oid = purpose.null().type_oid;
        let text = format!("({sql}::{})", type_name(type_oid));
        Ok(Sql::nullable(text, type_oid))
    }
}

fn column(row: AliasedRow, name: &str, path: &Path) -> Result<Sql, Error> {
    let column = row.table.column(name, path)?;
    Ok(Sql { text: row.column(&column), type_oid: base_type(column.type_oid), nullable: column.nullable })
}
