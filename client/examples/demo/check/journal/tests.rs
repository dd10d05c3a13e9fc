//! Journals made by hand, most of them bad.

use uuid::Uuid;

use super::*;
use crate::check::ledger::Request;
use crate::operation::Operation;
use crate::storage::Mark::{Begin, End, Write};

const VOLUME: Uuid = Uuid::from_u128(1);

/// Service 1 is fenced at 100; nobody else is.
const FENCED: (i64, i64) = (1, 100);

fn record(mark: Mark, token: i64, service_id: i64, at: i64) -> Option<Record> {
    Some(Record {
        mark,
        token,
        service_id,
        operation: Operation::Extend,
        at,
        note: String::new(),
    })
}

/// The violations of: alone, growing, ended.
fn violations(records: &[Option<Record>]) -> [usize; 3] {
    let ledger = Ledger {
        fenced_at: [FENCED].into(),
        ..Ledger::default()
    };
    let shelf = Shelf {
        journals: [(VOLUME, records.to_vec())].into(),
        ..Shelf::default()
    };
    let checks = check(&ledger, &shelf);
    [0, 1, 2].map(|number| checks[number].violations.len())
}

#[test]
fn accepts_one_after_the_other() {
    let records = [
        record(Begin, 10, 2, 1),
        record(Write, 10, 2, 1),
        record(End, 10, 2, 1),
        record(Begin, 11, 3, 2),
        record(End, 11, 3, 2),
    ];
    assert_eq!(violations(&records), [0, 0, 0]);
}

#[test]
fn accepts_a_successor_of_one_who_was_fenced() {
    let records = [
        record(Begin, 10, 1, 1),
        record(Write, 10, 1, 1),
        record(Begin, 11, 2, 101),
        record(End, 11, 2, 101),
    ];
    assert_eq!(violations(&records), [0, 0, 0]);
}

#[test]
fn rejects_two_inside() {
    let records = [
        record(Begin, 10, 2, 1),
        record(Begin, 11, 3, 2),
        record(End, 11, 3, 2),
    ];
    let [alone, _, ended] = violations(&records);
    assert_eq!((alone, ended), (1, 1));
}

#[test]
fn rejects_a_successor_before_the_fence() {
    let records = [
        record(Begin, 10, 1, 1),
        record(Begin, 11, 2, 99),
        record(End, 11, 2, 99),
    ];
    assert_eq!(violations(&records)[0], 1);
}

#[test]
fn rejects_a_zombie_that_goes_on() {
    let records = [
        record(Begin, 10, 1, 1),
        record(Begin, 11, 2, 101),
        record(Write, 10, 1, 1),
        record(End, 11, 2, 101),
    ];
    assert_eq!(violations(&records), [1, 1, 0]);
}

#[test]
fn rejects_a_zombie_that_comes_after_its_successor() {
    let records = [
        record(Begin, 10, 1, 1),
        record(Begin, 11, 2, 101),
        record(End, 11, 2, 101),
        record(Write, 10, 1, 1),
        record(End, 10, 1, 1),
    ];
    assert_eq!(violations(&records), [2, 2, 0]);
}

#[test]
fn rejects_a_smaller_token_even_alone() {
    let records = [
        record(Begin, 11, 2, 1),
        record(End, 11, 2, 1),
        record(Begin, 10, 3, 2),
        record(End, 10, 3, 2),
    ];
    assert_eq!(violations(&records), [0, 2, 0]);
}

#[test]
fn rejects_a_token_used_twice() {
    let records = [
        record(Begin, 10, 2, 1),
        record(End, 10, 2, 1),
        record(Begin, 10, 2, 2),
        record(End, 10, 2, 2),
    ];
    assert_eq!(violations(&records), [0, 1, 0]);
}

#[test]
fn rejects_what_nobody_ended() {
    assert_eq!(violations(&[record(Begin, 10, 2, 1)]), [0, 0, 1]);
    // Fenced as well: somebody had to come and repair it.
    assert_eq!(violations(&[record(Begin, 10, 1, 1)]), [0, 0, 1]);
}

#[test]
fn rejects_a_write_from_outside_and_a_broken_record() {
    assert_eq!(violations(&[record(Write, 10, 2, 1)]), [1, 0, 0]);
    assert_eq!(violations(&[None]), [0, 1, 0]);
}

#[test]
fn rejects_a_request_that_was_done_by_another_token_or_never() {
    let shelf = Shelf {
        journals: [(VOLUME, vec![record(Begin, 10, 2, 1), record(End, 10, 2, 1)])].into(),
        ..Shelf::default()
    };
    let disagreements = |state: &str, operation, token| {
        let ledger = Ledger {
            requests: vec![Request {
                id: 1,
                operation,
                volume: VOLUME,
                state: state.to_owned(),
                token: Some(token),
            }],
            ..Ledger::default()
        };
        agreement(&ledger, &shelf).violations.len()
    };
    assert_eq!(disagreements("done", Operation::Extend, 10), 0);
    assert_eq!(disagreements("done", Operation::Extend, 11), 1);
    assert_eq!(disagreements("done", Operation::Delete, 10), 1);
    assert_eq!(disagreements("failed", Operation::Extend, 10), 1);
}
