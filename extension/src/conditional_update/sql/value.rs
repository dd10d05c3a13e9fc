//! Values as SQL: what columns are set to, or compared with.

use super::arithmetic::operand_type;
use super::writer::{Row, Writer};
use crate::conditional_update::catalog::operators::{base_type, type_name};
use crate::conditional_update::catalog::table::Column;
use crate::conditional_update::grammar::{Columns, Expression, Filter, Literal};
use crate::input::document::Path;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};

/// What a value is for, which tells what a literal in it means.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'c> {
    Assignment(&'c Column),
    Comparison(&'c Column),
    /// An operand in what is calculated for the column.
    Arithmetic(&'c Column),
    /// A part of a text.
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
}

/// A value as SQL, that can stand beside any operator.
#[derive(Debug)]
pub struct Sql {
    pub text: String,
    pub type_oid: Oid,
    pub nullable: bool,
}

impl<'d> Writer<'d, '_> {
    /// `UPDATE … SET …`
    pub fn update(
        &mut self,
        changes: &'d Columns<Expression>,
        changes_sql: &Columns<String>,
        path: &Path,
    ) -> Result<&mut Self, Error> {
        let row = self.target;
        let mut assignments = Vec::with_capacity(changes.len() + changes_sql.len());
        for (name, value) in changes {
            let path = path.member(name);
            let column = row.table.column(name, &path)?;
            let value = self.assigned(row, value, &column, &path)?;
            assignments.push(format!("{} = {value}", column.name));
        }
        for (name, sql) in changes_sql {
            let path = Path::root("changes_sql");
            let path = path.member(name);
            let column = row.table.column(name, &path)?;
            let value = self.raw_value(sql, &path)?;
            assignments.push(format!("{} = {value}", column.name));
        }
        self.push("UPDATE ")
            .push(&row.table.name)
            .push(" AS ")
            .push(row.alias);
        self.push(" SET ").push(&assignments.join(", "));
        Ok(self)
    }

    fn assigned(
        &mut self,
        row: Row,
        value: &'d Expression,
        column: &Column,
        path: &Path,
    ) -> Result<String, Error> {
        match value {
            Expression::Null => Ok("NULL".to_owned()),
            value => Ok(self
                .value(row, value, Purpose::Assignment(column), path)?
                .text),
        }
    }

    /// A value, computed from `row`.
    pub fn value(
        &mut self,
        row: Row,
        value: &'d Expression,
        purpose: Purpose,
        path: &Path,
    ) -> Result<Sql, Error> {
        match value {
            Expression::Null => Ok(null(purpose)),
            Expression::Literal(literal) => self.literal(literal, purpose, path),
            Expression::Now => Ok(Sql {
                text: self.now(&path.member("now")),
                type_oid: pg_sys::TIMESTAMPTZOID,
                nullable: false,
            }),
            Expression::Column(name) => column(row, name, &path.member("column")),
            Expression::Outer(name) => {
                let path = path.member("outer");
                if self.depth == 0 {
                    let hint = r#"Inside "exists" it is a column of the row that is updated; elsewhere write {"column": name}."#;
                    return Err(path.fault("stands outside of any \"exists\"", hint).into());
                }
                column(self.target, name, &path)
            }
            Expression::Arithmetic(arithmetic, operands) => {
                self.calculation(row, *arithmetic, operands, purpose.column(), path)
            }
            Expression::Concat(parts) => self.concat(row, parts, purpose.column(), path),
            Expression::Case {
                branches,
                otherwise,
            } => self.case(row, branches, otherwise, purpose, path),
        }
    }

    fn literal(
        &mut self,
        literal: &'d Literal,
        purpose: Purpose,
        path: &Path,
    ) -> Result<Sql, Error> {
        let (type_oid, typmod) = match purpose {
            // With the column's own length and precision, so that a value that doesn't fit is refused here, by name.
            Purpose::Assignment(column) => (column.type_oid, column.typmod),
            Purpose::Comparison(column) => (base_type(column.type_oid), -1),
            Purpose::Arithmetic(column) => (operand_type(literal, column, path)?, -1),
            Purpose::Text(_) => (pg_sys::TEXTOID, -1),
        };
        if literal.is_null_to(base_type(type_oid)) {
            return Ok(null(purpose));
        }
        Ok(Sql {
            text: self.bind(literal, type_oid, typmod, path),
            type_oid: base_type(type_oid),
            nullable: false,
        })
    }

    fn concat(
        &mut self,
        row: Row,
        parts: &'d [Expression],
        column: &Column,
        path: &Path,
    ) -> Result<Sql, Error> {
        let path = path.member("concat");
        let mut texts = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let part = self.value(row, part, Purpose::Text(column), &path.item(at))?;
            texts.push(format!("{}::pg_catalog.text", part.text));
        }
        Ok(Sql {
            text: format!("({})", texts.join(" OPERATOR(pg_catalog.||) ")),
            type_oid: pg_sys::TEXTOID,
            nullable: true,
        })
    }

    fn case(
        &mut self,
        row: Row,
        branches: &'d [(Filter, Expression)],
        otherwise: &'d Expression,
        purpose: Purpose,
        path: &Path,
    ) -> Result<Sql, Error> {
        let mut sql = "(CASE".to_owned();
        let mut types = Vec::with_capacity(branches.len() + 1);
        {
            let path = path.member("case");
            for (at, (when, then)) in branches.iter().enumerate() {
                let path = path.item(at);
                let when = self.filter(row, when, &path.member("when"))?;
                let value = self.value(row, then, purpose, &path.member("then"))?;
                sql.push_str(&format!(" WHEN {when} THEN {}", value.text));
                types.push(value.type_oid);
            }
        }
        let value = self.value(row, otherwise, purpose, &path.member("else"))?;
        sql.push_str(&format!(" ELSE {} END)", value.text));
        types.push(value.type_oid);
        let type_oid = types[0];
        if types.iter().all(|other| *other == type_oid) {
            return Ok(Sql {
                text: sql,
                type_oid,
                nullable: true,
            });
        }
        match purpose {
            // Postgres finds the common type, and what doesn't fit into the column is an error and not cut.
            Purpose::Assignment(_) => Ok(Sql {
                text: sql,
                type_oid,
                nullable: true,
            }),
            _ => {
                let type_oid = null(purpose).type_oid;
                Ok(Sql {
                    text: format!("({sql}::{})", type_name(type_oid)),
                    type_oid,
                    nullable: true,
                })
            }
        }
    }
}

fn column(row: Row, name: &str, path: &Path) -> Result<Sql, Error> {
    let column = row.table.column(name, path)?;
    Ok(Sql {
        text: row.column(&column),
        type_oid: base_type(column.type_oid),
        nullable: column.nullable,
    })
}

/// NULL of the type that the purpose is about: without one, a CASE of nothing but NULL would be of type text.
fn null(purpose: Purpose) -> Sql {
    let type_oid = match purpose {
        Purpose::Text(_) => pg_sys::TEXTOID,
        purpose => base_type(purpose.column().type_oid),
    };
    Sql {
        text: format!("NULL::{}", type_name(type_oid)),
        type_oid,
        nullable: true,
    }
}
