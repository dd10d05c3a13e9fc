//! The judgement: what the files and the database show, and what was seen while it happened.

use crate::check::Check;
use crate::event::Door;
use crate::operation::Operation;
use crate::report::Report;

#[derive(Debug)]
pub struct Verdict {
    checks: Vec<Check>,
}

impl Verdict {
    pub fn over(report: &Report<'_>, mut checks: Vec<Check>) -> Verdict {
        checks.extend([books(report), fences(report), calm(report)]);
        Verdict { checks }
    }

    pub fn violations(&self) -> usize {
        self.checks.iter().map(|check| check.violations.len()).sum()
    }

    pub fn checks(&self) -> &[Check] {
        &self.checks
    }
}

/// Nothing that was asked for got lost.
fn books(report: &Report<'_>) -> Check {
    let mut check = Check::new("asked = refused + done + rolled back, for every kind");
    for operation in Operation::REQUESTS {
        let [asked, refused, done, failed] = report.counts(operation);
        check.demand(asked == refused + done + failed, || {
            format!("{operation}: {asked} asked, {refused} + {done} + {failed} accounted for")
        });
    }
    check
}

/// A zombie has to have tried, or nothing is shown.
fn fences(report: &Report<'_>) -> Check {
    let mut check = Check::new("the zombie tried, and every attempt was refused");
    let Some(zombie) = report.zombie() else {
        return check;
    };
    let attempts = report.audience.attempts_of(zombie.service_id);
    for (door, attempts) in &attempts {
        check.examined += attempts.refused as usize;
        for _ in 0..attempts.admitted {
            check.demand(false, || format!("let through: {door}"));
        }
    }
    let essential = [
        Door::Storage,
        Door::Session,
        Door::AssertHeld,
        Door::ConditionalUpdate,
    ];
    for door in essential {
        if attempts.get(&door).map_or(0, |attempts| attempts.refused) == 0 {
            check.violations.push(format!("never stopped by: {door}"));
        }
    }
    check
}

fn calm(report: &Report<'_>) -> Check {
    let mut check = Check::new("the play came to its end, and no manager met anything unexpected");
    check.demand(report.drama.is_some(), || {
        format!("not at its end after {:.0} s", report.elapsed.as_secs_f64())
    });
    let troubles = report.audience.troubles();
    check.demand(troubles == 0, || {
        format!("{troubles} times, see the timeline")
    });
    check
}
