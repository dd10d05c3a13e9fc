//! The rows that a statement is about, and how `outer` names them.

use crate::conditional_update::catalog::table::{Column, Table};
use crate::input::document::{Fault, Path};

/// A table under the alias that it has in a statement.
#[derive(Clone, Copy, Debug)]
pub struct AliasedRow<'t> {
    pub table: &'t Table,
    pub alias: &'t str,
    /// What the documents call the row.
    pub name: &'t str,
    /// The row around the `exists` that this one is of.
    pub around: Option<&'t AliasedRow<'t>>,
}

impl<'t> AliasedRow<'t> {
    /// A column of this row as SQL.
    pub fn column(&self, column: &Column) -> String {
        format!("{}.{}", self.alias, column.name)
    }

    /// The row that `outer` means by a name, or without one. `path` is where the document has it.
    ///
    /// Without a name it is the row that is updated. A nested `exists` must say which row it means: in SQL, the name of
    /// a column would be one of the next row around it.
    pub fn enclosing(&self, name: Option<&str>, path: &Path) -> Result<AliasedRow<'t>, Fault> {
        let Some(next) = self.around else {
            const HINT: &str = r#"Use {"outer": column} inside "exists" only, for a column of the row that is updated; elsewhere write {"column": name}."#;
            return Err(path.fault("stands outside of any \"exists\"", HINT));
        };
        let Some(name) = name else {
            let names = self.names_around();
            return match next.around {
                None => Ok(*next),
                Some(_) => Err(path.fault("must name its row inside of a nested \"exists\"", names)),
            };
        };
        let mut rows = std::iter::successors(Some(self), |row| row.around).filter(|row| row.name == name);
        match (rows.next(), rows.next()) {
            (Some(_), Some(_)) => Err(path.fault(
                format!("names \"{name}\", which is the name of several rows"),
                r#"Give each "exists" a name of its own: {"exists": {"table": ..., "as": name, ...}}."#,
            )),
            (Some(row), None) if row.alias == self.alias => {
                Err(path.fault(format!("names \"{name}\", which is the row itself"), "Write {\"column\": name}."))
            }
            (Some(row), None) => Ok(*row),
            (None, _) => Err(path.fault(format!("names \"{name}\", which is no row around it"), self.names_around())),
        }
    }

    /// A hint.
    fn names_around(&self) -> String {
        let names = std::iter::successors(self.around, |row| row.around);
        let names: Vec<_> = names.map(|row| format!("{{\"outer\": [\"{}\", column]}}", row.name)).collect();
        format!("Write {}.", names.join(" or "))
    }
}
