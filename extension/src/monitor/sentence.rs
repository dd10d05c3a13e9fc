//! Words for people: sentences that fit on a line.

use pgrx::pg_sys;

/// The longest line.
const WIDTH: usize = 100;
/// The longest name in a sentence, in characters.
const NAME: usize = 40;
/// The longest text of others, such as the message of an error, in characters.
const TEXT: usize = 400;

/// A name, shortened with an ellipsis if it is long. What would break the line is a blank.
pub fn short(name: &str) -> String {
    clipped(name, NAME)
}

fn clipped(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// A text of others, shortened likewise.
pub fn excerpt(text: &str) -> String {
    clipped(text, TEXT)
}

/// The sentence in lines; those after the first are indented.
pub fn wrapped(sentence: &str) -> Vec<String> {
    let indent = sentence.len() - sentence.trim_start().len();
    let mut lines = vec![" ".repeat(indent)];
    for word in sentence.split_whitespace() {
        let line = lines.last_mut().expect("the first");
        let space = if line.trim().is_empty() { "" } else { " " };
        match line.chars().count() + space.len() + word.chars().count() > WIDTH {
            true => lines.push(format!("{}{word}", " ".repeat(indent + 2))),
            false => line.extend([space, word]),
        }
    }
    lines
}

/// A time in the two largest units that matter.
pub fn span(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    // As far as it goes: the sign is in the sentence.
    let mut left = seconds.abs().floor() as u64;
    let first = UNITS.iter().position(|(length, _)| left >= *length).unwrap_or(UNITS.len() - 1);
    let mut parts = Vec::new();
    for (length, unit) in UNITS.iter().skip(first).take(2) {
        if left >= *length || parts.is_empty() {
            parts.push(format!("{} {unit}", left / length));
        }
        left %= length;
    }
    parts.join(" ")
}

/// Seconds since a moment.
pub fn age(since: i64) -> f64 {
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    now.saturating_sub(since) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::{short, span, wrapped};

    #[test]
    fn times_have_two_units() {
        let of = |seconds: f64| span(seconds);
        assert_eq!([of(0.4), of(59.9), of(60.0), of(-61.0)], ["0 s", "59 s", "1 min", "1 min 1 s"]);
        assert_eq!([of(3_661.0), of(90_000.0), of(1e9)], ["1 h 1 min", "1 d 1 h", "11574 d 1 h"]);
    }

    #[test]
    fn long_names_are_shortened_visibly() {
        assert_eq!(short("v-17"), "v-17");
        assert_eq!(short(&"é".repeat(41)), format!("{}…", "é".repeat(39)));
        assert_eq!(short("a\nb"), "a b");
    }

    #[test]
    fn texts_are_wrapped() {
        let lines = wrapped(&format!("  The reason: {}", "word ".repeat(50)));
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= 100), "{lines:?}");
        assert!(lines[0].starts_with("  The") && lines[1].starts_with("    word"), "{lines:?}");
        assert_eq!(wrapped("One line."), ["One line."]);
    }
}
