//! All checks of one program, and their table.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::checks::{CHECKS, Check, Verdict};
use super::stage::Subject;

/// How many checks run at once by default: most of them wait, but starting a program takes a processor.
pub const AT_ONCE: usize = 8;

/// Runs these pairs of a check and a program, so many at once, and returns the verdicts in their order.
///
/// # Panics
/// If a check does.
#[must_use]
pub fn check_all(pairs: &[(&'static Check, Subject)], at_once: usize) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once.min(pairs.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some((check, subject)) = pairs.get(number) else { return };
                    let verdict = check.run(subject);
                    verdicts.lock().expect("no check panics").push((number, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("no check panics");
    verdicts.sort_by_key(|(number, _)| *number);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// The verdicts as lines, each check with `ok` or `FAILED` and what was measured or why.
#[must_use]
pub fn table(checks: &[&'static Check], verdicts: &[Verdict]) -> String {
    let mut table = String::new();
    for (check, verdict) in checks.iter().zip(verdicts) {
        let (word, how) = match verdict {
            Ok(measured) => ("ok", measured.clone()),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        writeln!(table, "{:<15} {word:<7} {}: {how}", check.name, check.rule).expect("writing to a String");
    }
    table
}

/// All checks of one program.
#[must_use]
pub fn all_of(subject: &Subject) -> Vec<(&'static Check, Subject)> {
    CHECKS.iter().map(|check| (check, subject.clone())).collect()
}
