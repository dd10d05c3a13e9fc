//! Error texts of the user's code, made fit to keep: short, and without control characters.

use std::fmt::Write;

/// How much of a text is kept, in bytes: 2 kB with what marks the cut.
pub const LONGEST: usize = 2045;

/// A text without control characters, 2 kB at most. One that is longer ends with `...`.
pub fn clipped(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let before = kept.len();
        match character.is_control() {
            true => write!(kept, "{}", character.escape_default()).expect("a string takes all"),
            false => kept.push(character),
        }
        if kept.len() > LONGEST {
            kept.truncate(before);
            kept.push_str("...");
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::clipped;

    #[test]
    fn short_texts_stay() {
        assert_eq!(clipped("a volume, größer"), "a volume, größer");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(clipped("a\nb\u{1b}[0m"), "a\\nb\\u{1b}[0m");
    }

    #[test]
    fn long_texts_end_at_a_character_within_2_kb() {
        for text in ["x".repeat(5000), "ß".repeat(5000), "\n".repeat(5000), "😀".repeat(5000)] {
            let kept = clipped(&text);
            assert!(kept.len() <= 2048 && kept.len() > 2036, "{}", kept.len());
            assert!(kept.ends_with("..."));
        }
    }
}
