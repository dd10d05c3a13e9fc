//! Conditions as SQL: the key, and what is expected of the row.

use super::document::Path;
use super::equality::{Equality, base_type, type_name};
use super::grammar::{Choice, Columns, Condition, Scalar};
use super::render::Writer;
use super::target::Column;
use crate::error::Error;

impl<'d> Writer<'d, '_> {
    /// `(t.a = $1) AND (t.b IS NULL)`, for a row of the alias that is given. Returns the columns that must not be NULL.
    pub fn key(
        &mut self,
        alias: &str,
        key: &'d Columns<Scalar>,
        path: &Path,
    ) -> Result<Vec<Column>, Error> {
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

    /// One condition on `t`. It may be NULL where the column is, which counts as not holding.
    pub fn condition(
        &mut self,
        name: &str,
        condition: &'d Condition,
        path: &Path,
    ) -> Result<&mut Self, Error> {
        let column = self.table.column(name, path)?;
        let sql = match condition {
            Condition::AnyOf(choice) => self.any_of("t", &column, &placed(choice, path))?,
            Condition::NoneOf { choice, null_holds } => {
                let path = path.member("not");
                let mut scalars = placed(choice, &path);
                scalars.retain(|(scalar, _)| scalar.is_some());
                let any = self.any_of("t", &column, &scalars)?;
                let name = &column.name;
                match null_holds {
                    true => format!("(t.{name} IS NOT DISTINCT FROM NULL OR NOT {any})"),
                    false => format!("(t.{name} IS DISTINCT FROM NULL AND NOT {any})"),
                }
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
        let mut equals = Equals {
            column,
            name: format!("{alias}.{}", column.name),
            equality: None,
        };
        let tests: Vec<String> = scalars
            .iter()
            .map(|(scalar, path)| equals.test(self, scalar, path))
            .collect::<Result<_, _>>()?;
        Ok(match tests.is_empty() {
            true => "false".to_owned(),
            false => format!("({})", tests.join(" OR ")),
        })
    }
}

/// Tests of one column for equality.
struct Equals<'a> {
    column: &'a Column,
    /// With its alias.
    name: String,
    /// Looked up for the first literal: a column of any type can be NULL.
    equality: Option<Equality>,
}

impl Equals<'_> {
    fn test<'d>(
        &mut self,
        writer: &mut Writer<'d, '_>,
        scalar: &'d Scalar,
        path: &Path,
    ) -> Result<String, Error> {
        let Some(literal) = scalar else {
            // IS NULL would take a composite value for NULL whose fields are.
            return Ok(format!("{} IS NOT DISTINCT FROM NULL", self.name));
        };
        let type_oid = base_type(self.column.type_oid);
        let parameter = writer.bind(literal, type_oid, -1, path);
        let equality = match &self.equality {
            Some(equality) => equality,
            None => {
                let found = Equality::of(type_oid).ok_or_else(|| Error::NoEquality {
                    path: path.to_string(),
                    type_name: type_name(type_oid),
                })?;
                self.equality.insert(found)
            }
        };
        Ok(equality.compare(&self.name, &parameter))
    }
}

/// The scalars of a choice, each with its place.
fn placed<'d, 'p>(choice: &'d Choice, path: &'p Path<'p>) -> Vec<(&'d Scalar, Path<'p>)> {
    let scalars = choice.scalars().iter().enumerate();
    scalars
        .map(|(at, scalar)| (scalar, choice.place(path, at)))
        .collect()
}
