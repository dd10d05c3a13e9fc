//! The caller's own SQL: `filter_sql` and `changes_sql`. It runs as the caller, and is checked to be one expression.

use super::writer::Writer;
use crate::conditional_update::grammar::TARGET;
use crate::input::document::Path;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use pgrx::pg_sys;
use std::ffi::CString;

impl Writer<'_, '_> {
    /// `filter_sql`, in brackets that it can't close.
    pub fn raw_filter(&mut self, sql: &str) -> Result<String, Error> {
        let path = Path::root("filter_sql");
        let expression = bracketed(sql, &path)?;
        let table = &self.target.table.name;
        self.probe(format!("SELECT FROM {table} AS {TARGET} WHERE {expression}"), &path);
        Ok(expression)
    }

    /// What `changes_sql` says of one column, in brackets that it can't close.
    pub fn raw_value(&mut self, sql: &str, path: &Path) -> Result<String, Error> {
        let expression = bracketed(sql, path)?;
        let table = &self.target.table.name;
        self.probe(format!("SELECT {expression} FROM {table} AS {TARGET}"), path);
        Ok(expression)
    }
}

/// Puts brackets around an expression. The text must be the same expression with and without them. Then its own
/// brackets are balanced, and no comment, list, clause or statement reaches beyond it.
fn bracketed(sql: &str, path: &Path) -> Result<String, Error> {
    let refused = |problem: String| Error::RawSql { path: path.to_string(), problem };
    // The line break ends a comment.
    let brackets = format!("({sql}\n)");
    let bare = parsed(&format!("SELECT {sql}"), refused)?;
    let inside = parsed(&format!("SELECT {brackets}"), refused)?;
    // SAFETY: two trees of the parser, or null.
    let same = unsafe { pg_sys::equal(bare.cast(), inside.cast()) };
    match same && !bare.is_null() {
        true => Ok(brackets),
        false => Err(refused("must be one expression".to_owned())),
    }
}

/// The parser's tree; null if the text is not one statement.
fn parsed(sql: &str, refused: impl Fn(String) -> Error) -> Result<*mut pg_sys::Node, Error> {
    const SYNTAX: &[u8] = b"42";
    let sql = CString::new(sql).map_err(|_| refused("must not contain a NUL character".to_owned()))?;
    let text = sql.as_ptr();
    // SAFETY: a C string that outlives the call; the closure owns nothing.
    let parsed = unsafe { catching(|| raw::raw_parser(text, pg_sys::RawParseMode::RAW_PARSE_DEFAULT)) };
    match parsed {
        // SAFETY: the parser returns a list of RawStmt.
        Ok(list) => unsafe {
            Ok(match pg_sys::list_length(list) {
                1 => (*pg_sys::list_nth(list, 0).cast::<pg_sys::RawStmt>()).stmt,
                _ => std::ptr::null_mut(),
            })
        },
        Err(Error::Postgres(error)) if error.sqlstate().starts_with(SYNTAX) => Err(refused(error.message())),
        Err(other) => Err(other),
    }
}
