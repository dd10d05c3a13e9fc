//! Filters as SQL.

use super::bind::TypeInput;
use super::row::AliasedRow;
use super::writer::Writer;
use crate::conditional_update::catalog::table::Table;
use crate::conditional_update::grammar::{Exists, Filter};
use crate::input::document::Path;
use crate::pg::error::Error;
use pgrx::pg_sys::{self, Oid};

/// How many tables an update may read beside its own. The planner's work grows faster than this number.
const MOST_TABLES: usize = 32;

impl<'d> Writer<'d, '_> {
    /// Like a condition, it may be NULL if the filter does not hold.
    pub fn filter(&mut self, row: AliasedRow, filter: &'d Filter, path: &Path) -> Result<String, Error> {
        match filter {
            Filter::All(filters) => self.joined(row, filters, (" AND ", "true"), &path.member("all")),
            Filter::Any(filters) => self.joined(row, filters, (" OR ", "false"), &path.member("any")),
            Filter::Not(filter) => {
                let inner = self.filter(row, filter, &path.member("not"))?;
                Ok(match **filter {
                    // EXISTS is never NULL, and the planner can turn a plain NOT EXISTS into a join.
                    Filter::Exists(_) => format!("(NOT {inner})"),
                    _ => format!("({inner} IS NOT TRUE)"),
                })
            }
            Filter::Where(conditions) => self.conditions(row, conditions, &path.member("where")),
            Filter::Exists(exists) => self.exists(row, exists, &path.member("exists")),
        }
    }

    fn joined(
        &mut self,
        row: AliasedRow,
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

    /// A sub-query. As the whole statement, it runs with the caller's privileges and row-level security.
    fn exists(&mut self, row: AliasedRow, exists: &'d Exists, path: &Path) -> Result<String, Error> {
        let table = named(&exists.table, &path.member("table"))?;
        self.others.push(table.oid());
        self.reads_more(path);
        if self.others.len() > MOST_TABLES {
            let problem = format!("more than {MOST_TABLES} \"exists\" in one update");
            let hint = "Use fewer of them, or a view that combines them.";
            return Err(path.fault(problem, hint).into());
        }
        let alias = format!("other_{}", self.others.len());
        let name = exists.name.clone().unwrap_or_else(|| table.own_name());
        let row = AliasedRow { table: &table, alias: &alias, name: &name, around: Some(&row) };
        let mut condition = self.conditions(row, &exists.conditions, &path.member("where"))?;
        if let Some(filter) = &exists.filter {
            let filter = self.filter(row, filter, &path.member("filter"))?;
            condition = format!("{condition} AND {filter}");
        }
        Ok(format!("EXISTS (SELECT FROM {} AS {alias} WHERE {condition})", table.name))
    }
}

/// The table of that name, which is resolved like a name in the caller's SQL.
fn named(name: &str, path: &Path) -> Result<Table, Error> {
    let input = TypeInput::new(pg_sys::REGCLASSOID, -1, &path.to_string());
    let oid = input.read_str(name)?.value() as u32;
    Table::open_to_read(Oid::from(oid), path)
}
