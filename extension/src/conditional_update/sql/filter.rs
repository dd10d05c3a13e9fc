//! Filters as SQL.

use super::writer::{Row, Writer};
use crate::conditional_update::catalog::table::Table;
use crate::conditional_update::grammar::{Exists, Filter};
use crate::input::document::Path;
use crate::pg::error::Error;

/// How many tables beside its own an update may look at: the planner's work grows faster than they do.
const MOST_TABLES: usize = 32;

impl<'d> Writer<'d, '_> {
    /// May be NULL where the filter doesn't hold, as a condition may.
    pub fn filter(&mut self, row: Row, filter: &'d Filter, path: &Path) -> Result<String, Error> {
        match filter {
            Filter::All(filters) => {
                self.joined(row, filters, (" AND ", "true"), &path.member("all"))
            }
            Filter::Any(filters) => {
                self.joined(row, filters, (" OR ", "false"), &path.member("any"))
            }
            Filter::Not(filter) => {
                let inner = self.filter(row, filter, &path.member("not"))?;
                Ok(match **filter {
                    // Never NULL, and to the planner a join that it can choose an index for.
                    Filter::Exists(_) => format!("(NOT {inner})"),
                    _ => format!("({inner} IS NOT TRUE)"),
                })
            }
            Filter::Where(conditions) => self.conditions(row, conditions, &path.member("where")),
            Filter::Exists(exists) => self.exists(exists, &path.member("exists")),
        }
    }

    fn joined(
        &mut self,
        row: Row,
        filters: &'d [Filter],
        (operator, of_none): (&str, &str),
        path: &Path,
    ) -> Result<String, Error> {
        let mut parts = Vec::with_capacity(filters.len());
        for (at, filter) in filters.iter().enumerate() {
            parts.push(self.filter(row, filter, &path.item(at))?);
        }
        Ok(match parts.is_empty() {
            true => of_none.to_owned(),
            false => format!("({})", parts.join(operator)),
        })
    }

    /// A sub-query, run with the privileges and the row-level security of the caller like all of the statement.
    fn exists(&mut self, exists: &'d Exists, path: &Path) -> Result<String, Error> {
        let table = Table::open_named(&exists.table, &path.member("table"))?;
        self.others.push(table.oid());
        if self.others.len() > MOST_TABLES {
            let problem = format!("more than {MOST_TABLES} \"exists\" in one update");
            return Err(path
                .fault(problem, "Ask for less at once, or by one view.")
                .into());
        }
        let alias = format!("other_{}", self.others.len());
        let row = Row {
            table: &table,
            alias: &alias,
        };
        self.depth += 1;
        let mut condition = self.conditions(row, &exists.conditions, &path.member("where"))?;
        if let Some(filter) = &exists.filter {
            let filter = self.filter(row, filter, &path.member("filter"))?;
            condition = format!("{condition} AND {filter}");
        }
        self.depth -= 1;
        Ok(format!(
            "EXISTS (SELECT FROM {} AS {alias} WHERE {condition})",
            table.name
        ))
    }
}
