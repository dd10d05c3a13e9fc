//! From documents to one statement. Names are looked up in the catalog and quoted, literals become parameters, and
//! functions and operators carry their schema, so that nothing of a document is ever read as SQL.

use super::document::{Fault, Path};
use super::equality::{Equality, base_type, type_name};
use super::grammar::{Arithmetic, Choice, Columns, Condition, Expression, Literal, Scalar, Value};
use super::target::{Column, Table};
use crate::error::Error;
use pgrx::pg_sys::{self, Oid};
use std::fmt::Write;

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
    table: &'t Table,
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

    pub fn finish(self) -> Statement<'d> {
        let types = self.parameters.iter().map(|parameter| parameter.type_oid).collect();
        Statement {
            shape: Shape { sql: self.sql, types },
            parameters: self.parameters,
        }
    }

    /// `UPDATE … SET …`
    pub fn update(&mut self, values: &'d Columns<Value>, path: &Path) -> Result<&mut Self, Error> {
        let table = self.table;
        self.push("UPDATE ").push(&table.name).push(" AS t SET ");
        for (at, (name, value)) in values.iter().enumerate() {
            let path = path.member(name);
            let column = table.column(name, &path)?;
            self.push(if at > 0 { ", " } else { "" }).push(&column.name).push(" = ");
            let value = self.value(value, &column, &path)?;
            self.push(&value);
        }
        Ok(self)
    }

    fn value(&mut self, value: &'d Value, column: &Column, path: &Path) -> Result<String, Error> {
        match value {
            Value::Scalar(None) => Ok("NULL".to_owned()),
            // With the column's own length and precision, so that a value that doesn't fit is refused here, by name.
            Value::Scalar(Some(literal)) => Ok(self.bind(literal, column.type_oid, column.typmod, path)),
            Value::Computed(expression) => self.expression(expression, column, path),
        }
    }

    fn expression(&mut self, expression: &'d Expression, column: &Column, path: &Path) -> Result<String, Error> {
        match expression {
            Expression::Column(name) => {
                let source = self.table.column(name, &path.member("column"))?;
                Ok(format!("t.{}", source.name))
            }
            Expression::Literal(literal) => {
                let type_oid = operand_type(literal, column, path)?;
                Ok(self.bind(literal, type_oid, -1, path))
            }
            Expression::Arithmetic(arithmetic, operands) => {
                let path = path.member(arithmetic.name());
                let left = self.expression(&operands[0], column, &path.item(0))?;
                let right = self.expression(&operands[1], column, &path.item(1))?;
                Ok(format!("({left} {} {right})", operator(*arithmetic)))
            }
        }
    }

    /// `t.a = $1 AND t.b IS NULL`, for a row of the alias that is given. Returns the columns that must not be NULL.
    pub fn key(&mut self, alias: &str, key: &'d Columns<Scalar>, path: &Path) -> Result<Vec<Column>, Error> {
        let mut given = Vec::with_capacity(key.len());
        for (at, (name, scalar)) in key.iter().enumerate() {
            let path = path.member(name);
            let column = self.table.column(name, &path)?;
            let equal = self.any_of(alias, &column, &[(scalar, path)])?;
            self.push(if at > 0 { " AND " } else { "" }).push(&equal);
            if scalar.is_some() {
                given.push(column);
            }
        }
        Ok(given)
    }

    /// One condition; NULL, for a column that is, means that it doesn't hold.
    pub fn condition(&mut self, name: &str, condition: &'d Condition, path: &Path) -> Result<&mut Self, Error> {
        let column = self.table.column(name, path)?;
        let sql = match condition {
            Condition::AnyOf(choice) => self.any_of("t", &column, &placed(choice, path))?,
            Condition::NoneOf { choice, null_holds } => {
                let path = path.member("not");
                let (null_test, joined) = if *null_holds { ("IS NOT", "OR") } else { ("IS", "AND") };
                let scalars: Vec<_> = placed(choice, &path).into_iter().filter(|(scalar, _)| scalar.is_some()).collect();
                let any = self.any_of("t", &column, &scalars)?;
                format!("(t.{} {null_test} DISTINCT FROM NULL {joined} NOT {any})", column.name)
            }
        };
        Ok(self.push(&sql))
    }

    /// `(t.a = $1 OR t.a IS NULL)`
    fn any_of(
        &mut self,
        alias: &str,
        column: &Column,
        scalars: &[(&'d Scalar, Path)],
    ) -> Result<String, Error> {
        let type_oid = base_type(column.type_oid);
        let mut equality = None;
        let mut sql = String::from("(");
        for (at, (scalar, path)) in scalars.iter().enumerate() {
            let left = format!("{alias}.{}", column.name);
            sql.push_str(if at > 0 { " OR " } else { "" });
            match scalar {
                // IS NULL would take a composite value for NULL whose fields are.
                None => write!(sql, "{left} IS NOT DISTINCT FROM NULL").expect("a String takes all"),
                Some(literal) => {
                    let right = self.bind(literal, type_oid, -1, path);
                    let equality = match &mut equality {
                        Some(equality) => equality,
                        none => none.insert(Equality::of(type_oid).ok_or_else(|| Error::NoEquality {
                            path: path.to_string(),
                            type_name: type_name(type_oid),
                        })?),
                    };
                    sql.push_str(&equality.compare(&left, &right));
                }
            }
        }
        sql.push_str(if scalars.is_empty() { "false)" } else { ")" });
        Ok(sql)
    }

    fn bind(&mut self, literal: &'d Literal, type_oid: Oid, typmod: i32, path: &Path) -> String {
        self.parameters.push(Parameter {
            literal,
            type_oid,
            typmod,
            path: path.to_string(),
        });
        format!("${}", self.parameters.len())
    }
}

/// The scalars of a choice, each with its place.
fn placed<'d, 'p>(choice: &'d Choice, path: &'p Path<'p>) -> Vec<(&'d Scalar, Path<'p>)> {
    let scalars = choice.scalars().iter().enumerate();
    scalars.map(|(at, scalar)| (scalar, choice.place(path, at))).collect()
}

fn operator(arithmetic: Arithmetic) -> &'static str {
    match arithmetic {
        Arithmetic::Add => "OPERATOR(pg_catalog.+)",
        Arithmetic::Sub => "OPERATOR(pg_catalog.-)",
        Arithmetic::Mul => "OPERATOR(pg_catalog.*)",
        Arithmetic::Div => "OPERATOR(pg_catalog./)",
    }
}

/// A number in arithmetic is of the smallest type that holds it, as in SQL; a string is an interval, where the column
/// has to do with time.
fn operand_type(literal: &Literal, column: &Column, path: &Path) -> Result<Oid, Fault> {
    match literal {
        Literal::Number(digits) if digits.parse::<i32>().is_ok() => Ok(pg_sys::INT4OID),
        Literal::Number(digits) if digits.parse::<i64>().is_ok() => Ok(pg_sys::INT8OID),
        Literal::Number(_) => Ok(pg_sys::NUMERICOID),
        Literal::Text(_) if is_about_time(column.type_oid) => Ok(pg_sys::INTERVALOID),
        Literal::Text(_) | Literal::Boolean(_) => {
            let hint = "Write numbers without quotes; a string is an interval, for columns of a date or time type.";
            Err(path.fault(format!("column {} takes no string in arithmetic", column.name), hint))
        }
    }
}

fn is_about_time(type_oid: Oid) -> bool {
    let (mut category, mut preferred) = (0, false);
    // SAFETY: a catalog look-up of a running transaction, into two variables of ours.
    unsafe { pg_sys::get_type_category_preferred(base_type(type_oid), &mut category, &mut preferred) };
    matches!(
        category.cast_unsigned(),
        pg_sys::TYPCATEGORY_DATETIME | pg_sys::TYPCATEGORY_TIMESPAN
    )
}
