//! The tables at the end.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use volguard_tests::history::{Answer, Change, History, Offence, Rule};

use crate::api::Tally;
use crate::fault::Fault;
use crate::notice::Notice;

pub fn print(tally: &Tally, faults: &[Fault], notices: &[Notice], history: &History) {
    println!("\nWhat became of the work\n{}", operations(tally));
    let reasons = tally.reasons.iter();
    let reasons: Vec<String> = reasons.map(|(reason, times)| format!("{reason} {times}")).collect();
    println!("What refusals were for: {}", reasons.join(", "));
    for fault in faults {
        println!("\n{}\n{}", fault.headline(), repairs(fault, notices));
    }
    println!("\n{}", checked(history));
}

/// What contradicts the sum over the table.
pub fn print_mistakes(tally: &Tally, mistakes: &[String]) {
    match mistakes {
        [] => println!("{} pieces of work were submitted, and each has ended exactly once.", tally.submitted()),
        [first, ..] => println!("VIOLATION, {} times: work that has not ended exactly once: {first}", mistakes.len()),
    }
}

/// Each rule that is broken, how often, and how the first time.
pub fn print_offences(offences: &[Offence]) {
    let mut broken = BTreeMap::<Rule, Vec<&Offence>>::new();
    for offence in offences {
        broken.entry(offence.rule).or_default().push(offence);
    }
    for offences in broken.values() {
        println!("VIOLATION, {} times: {}", offences.len(), offences[0]);
    }
}

fn operations(tally: &Tally) -> Table {
    let mut table = table(&["operation", "submitted", "= done", "+ refused", "+ rolled back", "+ cancelled"]);
    let mut sum = [0; 5];
    for (operation, counts) in &tally.table() {
        sum = std::array::from_fn(|place| sum[place] + counts[place]);
        table.add_row(row(&operation.to_string(), counts));
    }
    table.add_row(row("all", &sum));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn repairs(fault: &Fault, notices: &[Notice]) -> Table {
    let mut table = table(&["volume", "in the middle of", "crash rule", "ended by", "as"]);
    let since = |notice: &Notice| format!("{:.2} s", notice.at - fault.at);
    for (opened, row) in &fault.opened {
        if let Some((rule, end)) = fault.repair(&row.name, notices) {
            let outcome = match &rule {
                Some(_) => "rolled back, repaired".to_owned(),
                None => format!("done in attempt {}", end.attempt),
            };
            let rule = rule.map_or("retry".to_owned(), since);
            let progress = format!("{}, {} writes", row.task, opened.writes);
            table.add_row([&row.name, &progress, &rule, &format!("{}, {}", end.by, since(end)), &outcome]);
        }
    }
    table
}

/// What the checker was given of the storage.
fn checked(history: &History) -> String {
    let changes = |wanted: fn(&Change) -> bool| {
        let entries = history.journal.iter();
        entries.filter(|entry| wanted(&entry.change)).count()
    };
    let opened = changes(|change| matches!(change, Change::Taken { .. }));
    let written = changes(|change| matches!(change, Change::Wrote { .. }));
    let dead = changes(|change| matches!(change, Change::Ended { .. }));
    let calls = history.calls.iter();
    let refused = calls.filter(|call| call.answer == Answer::Refused);
    let (refused, ends) = (refused.count(), history.endings.len());
    format!(
        "Checked: {opened} times a volume was opened, {written} writes, {refused} refused writes,\n\
         {dead} dead services shut out, {ends} ends compared with what is on record."
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header.to_vec());
    table
}

fn row(name: &str, counts: &[u64]) -> Vec<String> {
    let counts = counts.iter().map(ToString::to_string);
    [name.to_owned()].into_iter().chain(counts).collect()
}
