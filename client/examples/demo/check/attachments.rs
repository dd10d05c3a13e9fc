//! A volume is attached once at most, and the storage and the database agree to what.

use super::{Check, Ledger, Shelf};
use crate::operation::Operation;
use crate::storage::{Mark, Record};

pub(super) fn check(ledger: &Ledger, shelf: &Shelf) -> Check {
    let mut check = Check::new("attachments: exclusive, and the same on disk and in the database");
    for (id, volume) in &ledger.volumes {
        let attached = volume.attach_status == "attached";
        let expected = volume.instance.as_deref().filter(|_| attached);
        let marker = shelf.attachments.get(id);
        let actual = marker.map(|marker| marker.as_ref().map(|(instance, _)| instance.as_str()));
        check.demand(actual == expected.map(Some), || {
            format!(
                "{}: attached to {expected:?} in the database, to {actual:?} on disk",
                volume.name
            )
        });
        check.demand(attached == (volume.status == "in-use"), || {
            format!(
                "{} is {} and {}",
                volume.name, volume.status, volume.attach_status
            )
        });
    }
    for id in shelf.attachments.keys() {
        check.demand(ledger.volumes.contains_key(id), || {
            format!("unknown volume {id} is attached")
        });
    }
    for (id, records) in &shelf.journals {
        for record in attached_twice(records.iter().flatten()) {
            check.demand(false, || {
                format!("volume {id} is attached twice: `{record}`")
            });
        }
    }
    check
}

/// Attachments that began while there was one already. A recovery may have undone one that was ended.
fn attached_twice<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<&'a Record> {
    let mut attached = false;
    let mut twice = Vec::new();
    for record in records {
        match (record.operation, record.mark) {
            (Operation::Attach, Mark::Begin) if attached => twice.push(record),
            (Operation::Attach, Mark::End) => attached = true,
            (Operation::Detach | Operation::Recover, Mark::End) => attached = false,
            _ => {}
        }
    }
    twice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ledger::Volume;
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(7);

    fn ledger(attached_to: Option<&str>) -> Ledger {
        let (status, attach_status) = match attached_to {
            Some(_) => ("in-use", "attached"),
            None => ("available", "detached"),
        };
        let volume = Volume {
            name: "vol-7".to_owned(),
            status: status.to_owned(),
            size: 1,
            attach_status: attach_status.to_owned(),
            instance: attached_to.map(str::to_owned),
            last_token: None,
            snapshots: 0,
        };
        Ledger {
            volumes: [(ID, volume)].into(),
            ..Ledger::default()
        }
    }

    fn shelf(marker: Option<&str>, operations: &[Operation]) -> Shelf {
        let record = |mark, operation| {
            Some(Record {
                mark,
                token: 1,
                service_id: 1,
                operation,
                at: 0,
                note: String::new(),
            })
        };
        let records = operations.iter().flat_map(|operation| {
            [
                record(Mark::Begin, *operation),
                record(Mark::End, *operation),
            ]
        });
        Shelf {
            attachments: marker
                .map(|instance| (ID, Some((instance.to_owned(), 1))))
                .into_iter()
                .collect(),
            journals: [(ID, records.collect())].into(),
            ..Shelf::default()
        }
    }

    fn violations(database: Option<&str>, disk: Option<&str>, operations: &[Operation]) -> usize {
        check(&ledger(database), &shelf(disk, operations))
            .violations
            .len()
    }

    #[test]
    fn agrees_when_both_agree() {
        use Operation::{Attach, Detach, Recover};
        assert_eq!(violations(Some("web"), Some("web"), &[Attach]), 0);
        assert_eq!(violations(None, None, &[Attach, Detach]), 0);
        let undone = [Attach, Recover, Attach];
        assert_eq!(violations(Some("web"), Some("web"), &undone), 0);
    }

    #[test]
    fn sees_a_marker_that_is_missing_foreign_or_left() {
        assert_eq!(violations(Some("web"), None, &[]), 1);
        assert_eq!(violations(Some("web"), Some("db"), &[]), 1);
        assert_eq!(violations(None, Some("db"), &[]), 1);
    }

    #[test]
    fn sees_a_second_attachment() {
        use Operation::{Attach, Extend};
        let twice = [Attach, Extend, Attach];
        assert_eq!(violations(Some("web"), Some("web"), &twice), 1);
    }
}
