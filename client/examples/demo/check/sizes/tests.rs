//! Files made by hand that don't fit the database.

use super::*;
use crate::check::ledger::Snapshot;
use crate::operation::Operation;
use crate::storage::{Record, Stamp};

const VOLUME: Uuid = Uuid::from_u128(1);
const SNAPSHOT: Uuid = Uuid::from_u128(2);
const TOKEN: i64 = 17;

fn image(size: u64, owner: Uuid, token: i64) -> Image {
    let stamp = |mib| {
        Some(Stamp {
            volume: owner,
            mib,
            token,
        })
    };
    Image {
        length: size * MIB,
        stamps: (0..size).map(stamp).collect(),
    }
}

fn ledger(status: &str) -> Ledger {
    let volume = Volume {
        name: "vol-1".to_owned(),
        status: status.to_owned(),
        size: 3,
        attach_status: "detached".to_owned(),
        instance: None,
        last_token: Some(TOKEN),
        snapshots: 1,
    };
    let snapshot = Snapshot {
        volume: VOLUME,
        status: status.to_owned(),
        size: 3,
        last_token: Some(TOKEN),
    };
    Ledger {
        volumes: [(VOLUME, volume)].into(),
        snapshots: [(SNAPSHOT, snapshot)].into(),
        ..Ledger::default()
    }
}

fn shelf(volume: Image, snapshot: Image) -> Shelf {
    let end = Record {
        mark: Mark::End,
        token: TOKEN,
        service_id: 1,
        operation: Operation::Extend,
        at: 0,
        note: String::new(),
    };
    Shelf {
        volumes: [(VOLUME, volume)].into(),
        snapshots: [(SNAPSHOT, snapshot)].into(),
        journals: [(VOLUME, vec![Some(end)])].into(),
        ..Shelf::default()
    }
}

fn good() -> Image {
    image(3, VOLUME, TOKEN)
}

fn of_both(volume: Image, snapshot: Image) -> [usize; 2] {
    let (ledger, shelf) = (ledger("available"), shelf(volume, snapshot));
    [of_volumes(&ledger, &shelf), of_snapshots(&ledger, &shelf)].map(|check| check.violations.len())
}

#[test]
fn accepts_what_fits() {
    assert_eq!(of_both(good(), good()), [0, 0]);
    let check = no_leftovers(&ledger("available"), &shelf(good(), good()));
    assert_eq!((check.examined, check.violations.len()), (2, 0));
}

#[test]
fn rejects_another_size() {
    assert_eq!(of_both(image(4, VOLUME, TOKEN), good()), [1, 0]);
    assert_eq!(of_both(good(), image(2, VOLUME, TOKEN)), [0, 1]);
}

#[test]
fn rejects_another_token() {
    assert_eq!(of_both(image(3, VOLUME, 16), good()), [1, 0]);
    assert_eq!(of_both(good(), image(3, VOLUME, 16)), [0, 1]);
}

#[test]
fn rejects_anothers_data_and_holes() {
    assert_eq!(of_both(image(3, SNAPSHOT, TOKEN), good()), [1, 0]);
    let mut hole = good();
    hole.stamps[1] = None;
    assert_eq!(of_both(good(), hole), [0, 1]);
}

#[test]
fn rejects_what_has_no_file() {
    let empty = Shelf::default();
    assert_eq!(of_volumes(&ledger("in-use"), &empty).violations.len(), 1);
    let missing = of_snapshots(&ledger("available"), &empty);
    assert_eq!(missing.violations.len(), 1);
}

#[test]
fn rejects_a_snapshot_that_its_volume_does_not_count() {
    let mut ledger = ledger("available");
    ledger.snapshots.clear();
    let check = of_snapshots(&ledger, &shelf(good(), good()));
    assert_eq!(check.violations.len(), 1);
}

#[test]
fn rejects_leftovers() {
    for status in ["deleted", "error", "recovering"] {
        let check = no_leftovers(&ledger(status), &shelf(good(), good()));
        assert_eq!(check.violations.len(), 2, "{status}");
    }
    let strangers = no_leftovers(&Ledger::default(), &shelf(good(), good()));
    assert_eq!(strangers.violations.len(), 2);
    let half = Shelf {
        partial: vec![SNAPSHOT],
        ..Shelf::default()
    };
    assert_eq!(
        no_leftovers(&ledger("available"), &half).violations.len(),
        1
    );
}
