//! Text of others on a terminal: names, statuses and messages come from the database, and a control character in one
//! must not reach the terminal.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks on one letter: more than any language writes would cover the lines around it.
const MOST_MARKS: usize = 4;

/// Whether a terminal obeys it, or shows other text because of it: control characters of ASCII and Latin-1, line ends
/// and marks of direction of Unicode, and what has no shape at all (Unicode's `Default_Ignorable_Code_Point`).
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

/// The text with each such character written out, as `\n` or `\u{1b}`, and with a few marks on a letter at most.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut marks = 0;
    let mut is_shown = |c: char| {
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        !is_hostile(c) && marks <= MOST_MARKS
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_shown(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
    }
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

/// A JSON text whose strings have such characters as `\u001b`: it means the same. In a string a line end is written out
/// already; between values it stays.
pub(crate) fn visible_json(json: &str) -> Cow<'_, str> {
    let is_hostile = |c: char| c != '\n' && is_hostile(c);
    if !json.contains(is_hostile) {
        return Cow::Borrowed(json);
    }
    let escaped = |c: char| {
        let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
        if is_hostile(c) { units(c) } else { c.to_string() }
    };
    Cow::Owned(json.chars().map(escaped).collect())
}

/// How many columns a visible text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a visible text, with an ellipsis if it is cut.
pub(crate) fn clipped(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (mut cut, mut left) = (String::new(), columns.saturating_sub(1));
    for c in text.chars() {
        let taken = c.width().unwrap_or(0);
        if taken > left {
            break;
        }
        left -= taken;
        cut.push(c);
    }
    // Characters together may take more than each by itself.
    while width(&cut) > columns.saturating_sub(1) {
        cut.pop();
    }
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// Seconds as people say them: `7s`, `4m 05s`, `3h 20m`, `2d 4h`.
pub(crate) fn age(seconds: i64) -> String {
    let (sign, s) = (if seconds < 0 { "-" } else { "" }, seconds.unsigned_abs());
    let text = match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h {:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86400, s / 3600 % 24),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_stays() {
        assert_eq!(visible("a\u{1b}[2J\u{9b}\u{7f}\n\u{202e}é"), "a\\u{1b}[2J\\u{9b}\\u{7f}\\n\\u{202e}é");
        assert!(matches!(visible("plain ü 漢"), Cow::Borrowed(_)));
        let json = serde_json::to_string("\n\u{1b}\u{9b}\u{202e}\u{e0001}é").unwrap();
        let safe = visible_json(&json);
        assert!(!safe.contains(is_hostile), "{safe}");
        assert_eq!(visible_json("[\n1]"), "[\n1]");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "\n\u{1b}\u{9b}\u{202e}\u{e0001}é");
    }

    #[test]
    fn what_is_wide_is_cut_in_time() {
        assert_eq!(clipped("volume", 6), "volume");
        assert_eq!(clipped("volumes", 6), "volum…");
        assert_eq!(clipped("漢字漢字", 6), "漢字…");
        assert_eq!(clipped("ab", 0), "");
    }

    /// Of texts of all kinds: wide letters, marks, letters that join, pictures of several characters.
    #[test]
    fn what_is_shown_takes_no_more_room_than_it_has() {
        let kinds = [
            "a",
            "漢",
            "e\u{301}",
            "\u{301}",
            "☺\u{fe0f}",
            "👩\u{200d}🚀",
            "\u{1f1e9}\u{1f1ea}",
            "لا",
            "\u{1100}\u{1161}",
            "ｱ",
            "\u{1b}[2J",
            "\t",
        ];
        for first in kinds {
            for second in kinds {
                let text = visible(&format!("{first}{second}").repeat(9)).into_owned();
                assert!(!text.contains(is_hostile), "{text:?}");
                for columns in 0..40 {
                    let cut = clipped(&text, columns);
                    assert!(width(&cut) <= columns, "{cut:?} takes {} of {columns}", width(&cut));
                }
            }
        }
    }

    #[test]
    fn a_letter_has_a_few_marks_at_most() {
        let marks = |count| format!("e{}", "\u{301}".repeat(count));
        assert!(matches!(visible(&marks(MOST_MARKS)), Cow::Borrowed(_)));
        assert_eq!(visible(&marks(1000)).chars().filter(|c| *c == '\u{301}').count(), MOST_MARKS);
    }

    #[test]
    fn ages_are_short() {
        let said = [7, 245, 12_000, 190_000, -3].map(age);
        assert_eq!(said, ["7s", "4m 05s", "3h 20m", "2d 4h", "-3s"]);
    }
}
