//! Conditions that are repeated often are written into a statement of their own. A prepared statement with constants in
//! it saves the server receiving and reading them each time.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// How many texts are remembered, and how many statements of this kind are prepared on a connection at most.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// After how many uses a text counts as repeated: documents that change with each call never get here.
const OFTEN: u32 = 3;
/// Longer texts are not kept. In bytes.
const LONGEST: usize = 8192;

/// How often each text was used lately.
pub(crate) struct Repeated {
    seen: Mutex<LruCache<String, u32>>,
}

/// What is to be done with a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advice {
    /// Whether to prepare it, because it is used often.
    pub(super) prepare: bool,
    /// A prepared text that has not been used for the longest time: it makes room.
    pub(super) forget: Option<String>,
}

impl Repeated {
    pub(crate) fn new() -> Repeated {
        Repeated { seen: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    pub(super) fn note(&self, text: &str) -> Advice {
        let mut advice = Advice { prepare: false, forget: None };
        if text.len() > LONGEST {
            return advice;
        }
        let mut seen = self.seen();
        match seen.get_mut(text) {
            Some(times) => {
                *times = times.saturating_add(1);
                advice.prepare = *times > OFTEN;
            }
            None => {
                let gone = seen.push(text.to_owned(), 1);
                advice.forget = gone.and_then(|(text, times)| (times > OFTEN).then_some(text));
            }
        }
        advice
    }

    fn seen(&self) -> MutexGuard<'_, LruCache<String, u32>> {
        // No code panics while it is held, and any state of it is valid.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} texts", self.seen().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepares(repeated: &Repeated, text: &str) -> bool {
        repeated.note(text).prepare
    }

    #[test]
    fn what_came_often_is_prepared() {
        let repeated = Repeated::new();
        let advice: Vec<bool> = (0..5).map(|_| prepares(&repeated, "a")).collect();
        assert_eq!(advice, [false, false, false, true, true]);
        assert!(!prepares(&repeated, "b"));
    }

    #[test]
    fn long_texts_are_not_kept() {
        let repeated = Repeated::new();
        let long = "x".repeat(LONGEST + 1);
        assert!((0..5).all(|_| !prepares(&repeated, &long)));
        assert_eq!(repeated.seen().len(), 0);
    }

    #[test]
    fn what_rested_longest_makes_room() {
        let repeated = Repeated::new();
        for text in ["old", "used"] {
            for _ in 0..=OFTEN {
                repeated.note(text);
            }
        }
        let mut forgotten = Vec::new();
        for number in 0..2 * REMEMBERED.get() {
            forgotten.extend(repeated.note(&number.to_string()).forget);
            assert!(prepares(&repeated, "used"));
        }
        // Each number was used once, so no prepared statement has to be forgotten.
        assert_eq!(forgotten, ["old"]);
        assert_eq!(repeated.seen().len(), REMEMBERED.get());
    }
}
