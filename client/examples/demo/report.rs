//! The tables at the end.

use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};

use crate::api::Tally;
use crate::audience::Audience;
use crate::check::Ledger;
use crate::director::Drama;
use crate::fault::{Aftermath, Zombie};
use crate::operation::Operation;
use crate::options::Plan;
use crate::verdict::Verdict;

/// Violations printed of each invariant; a missing guard breaks some of them everywhere.
const SHOWN: usize = 3;

#[derive(Debug)]
pub struct Report<'a> {
    pub tally: &'a Tally,
    pub audience: &'a Audience,
    pub ledger: &'a Ledger,
    /// `None` if the play did not come to its end.
    pub drama: Option<&'a Drama>,
    pub plan: &'a Plan,
    pub elapsed: Duration,
}

impl Report<'_> {
    pub fn print(&self, verdict: &Verdict) {
        println!("\nOperations\n{}", self.operations());
        let unmet: Vec<String> = self
            .tally
            .unmet()
            .into_iter()
            .map(|(column, count)| format!("{column} {count}"))
            .collect();
        println!("Conditions that refusals were for: {}", unmet.join(", "));
        for aftermath in self.aftermaths() {
            println!("\n{}\n{}", headline(aftermath), repairs(aftermath));
        }
        if let Some(zombie) = self.zombie() {
            let Zombie { name, service_id } = zombie;
            println!(
                "\nWhat {name} tried as service {service_id}, when it went on after others had taken over"
            );
            println!("{}", self.doors(*service_id));
        }
        println!("\nInvariants\n{}", invariants(verdict));
        for check in verdict.checks() {
            for violation in check.violations.iter().take(SHOWN) {
                println!("VIOLATION of `{}`: {violation}", check.invariant);
            }
            if check.violations.len() > SHOWN {
                println!("... and {} more of it", check.violations.len() - SHOWN);
            }
        }
        let elapsed = self.elapsed.as_secs_f64();
        match verdict.violations() {
            0 => println!("No violation, in {elapsed:.1} s (seed {}).", self.plan.seed),
            count => println!(
                "{count} VIOLATIONS, in {elapsed:.1} s (seed {}).",
                self.plan.seed
            ),
        }
    }

    fn operations(&self) -> Table {
        let mut table = table(&[
            "operation",
            "asked",
            "refused",
            "done",
            "rolled back after a crash",
        ]);
        let mut sums = [0; 4];
        for operation in Operation::REQUESTS {
            let counts = self.counts(operation);
            add(&mut sums, counts);
            table.add_row(row(operation.name(), counts));
        }
        table.add_row(row("all", sums));
        right(&mut table, 1..5);
        table
    }

    /// Asked, refused, done, rolled back.
    pub fn counts(&self, operation: Operation) -> [u64; 4] {
        let asked = self.tally.of(operation);
        let ended = |state| self.ledger.count(operation, state) as u64;
        [asked.asked, asked.refused, ended("done"), ended("failed")]
    }

    fn doors(&self, service_id: i64) -> Table {
        let mut table = table(&["stopped by", "attempts", "refused", "let through"]);
        let mut sums = [0; 3];
        for (door, attempts) in self.audience.attempts_of(service_id) {
            let (refused, admitted) = (attempts.refused, attempts.admitted);
            let counts = [refused + admitted, refused, admitted];
            add(&mut sums, counts);
            table.add_row(row(&door.to_string(), counts));
        }
        table.add_row(row("all", sums));
        right(&mut table, 1..4);
        table
    }

    fn aftermaths(&self) -> &[Aftermath] {
        self.drama.map_or(&[], |drama| &drama.aftermaths)
    }

    pub fn zombie(&self) -> Option<&Zombie> {
        self.drama?.zombie.as_ref()
    }
}

fn headline(aftermath: &Aftermath) -> String {
    let Aftermath { caught, signal, .. } = aftermath;
    format!(
        "What {signal} left of {}: {} requests, {} locks with work, {} plain ones.\n\
         Fenced after {:.2} s (the lease counts from its last heartbeat), all repaired after {:.2} s.",
        caught.name,
        caught.interrupted.len(),
        caught.locks_with_work,
        caught.plain_locks,
        aftermath.fenced_after.as_secs_f64(),
        aftermath.over_after().as_secs_f64()
    )
}

fn repairs(aftermath: &Aftermath) -> Table {
    let mut table = table(&[
        "operation",
        "volume",
        "cut off at",
        "crash rule run by",
        "closed by",
        "as",
    ]);
    for fate in &aftermath.fates {
        let rule = fate.rule.as_ref();
        table.add_row([
            fate.work.operation.to_string(),
            fate.work.volume_name.clone(),
            fate.work
                .step
                .clone()
                .unwrap_or_else(|| "not begun".to_owned()),
            rule.map_or_else(
                || "no work yet".to_owned(),
                |(by, after)| moment(by, *after),
            ),
            moment(&fate.closed_by, fate.closed_after),
            fate.outcome().to_owned(),
        ]);
    }
    table
}

fn moment(by: &str, after: Duration) -> String {
    format!("{by}, {:.2} s", after.as_secs_f64())
}

fn invariants(verdict: &Verdict) -> Table {
    let mut table = table(&["invariant", "examined", "violations"]);
    for check in verdict.checks() {
        let counts = [check.examined as u64, check.violations.len() as u64];
        table.add_row(row(check.invariant, counts));
    }
    right(&mut table, 1..3);
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_header(header.to_vec());
    table
}

fn row<const N: usize>(name: &str, counts: [u64; N]) -> Vec<String> {
    let counts = counts.iter().map(ToString::to_string);
    [name.to_owned()].into_iter().chain(counts).collect()
}

fn add<const N: usize>(sums: &mut [u64; N], counts: [u64; N]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

fn right(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(8)));
        }
    }
}
