//! Text for the server's log and for warnings.

use crate::sabotage::{self, Guard};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};
use std::borrow::Cow;

/// A control character of Unicode, a separator of lines or paragraphs, or one that turns the direction of what follows.
pub fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line, whatever is in it: names of roles and texts of errors may have line breaks, and what follows one would
/// look like a line of the server. A control character is written as an escape sequence of SQL, as in `\n` or
/// `\u001b`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) || sabotage::removed(Guard::OneLine) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            control if is_control(control) => line.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => line.push(other),
        }
    }
    line.into()
}

/// Warns the client and the log.
pub fn warning(text: &str, hint: Option<&str>) {
    let text = format!("volguard: {}", one_line(text));
    let report = ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, text, "");
    let report = match hint {
        Some(hint) => report.set_hint(hint),
        None => report,
    };
    report.report(PgLogLevel::WARNING);
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_text_becomes_one_line() {
        assert_eq!(one_line("a name, ünïcode ✓"), "a name, ünïcode ✓");
        assert_eq!(one_line("a\u{2028}b\u{202e}c\u{200f}"), "a\\u2028b\\u202ec\u{200f}");
        assert_eq!(one_line("a\nb\r\tc\u{1b}[2J\u{7f}\u{85}"), "a\\nb\\r\\tc\\u001b[2J\\u007f\\u0085");
    }
}
