//! Nothing is left in the middle.

use super::{Check, Ledger};

const RESTING: [&str; 4] = ["available", "in-use", "error", "deleted"];

pub(super) fn check(ledger: &Ledger) -> Check {
    let mut check = Check::new("no status in transition, no request open, no lock held");
    for volume in ledger.volumes.values() {
        check.demand(RESTING.contains(&volume.status.as_str()), || {
            format!("{} is {}", volume.name, volume.status)
        });
    }
    for (id, snapshot) in &ledger.snapshots {
        check.demand(RESTING.contains(&snapshot.status.as_str()), || {
            format!("snapshot {id} is {}", snapshot.status)
        });
    }
    for request in &ledger.requests {
        check.demand(request.state != "open", || {
            format!("request {} ({}) is open", request.id, request.operation)
        });
    }
    for lock in &ledger.locks {
        check.demand(false, || format!("{lock} is locked"));
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ledger::{Request, Snapshot, Volume};
    use crate::operation::Operation;
    use uuid::Uuid;

    fn ledger(volume: &str, snapshot: &str, request: &str) -> Ledger {
        let id = Uuid::from_u128(1);
        let row = Volume {
            name: "vol-1".to_owned(),
            status: volume.to_owned(),
            size: 1,
            attach_status: "detached".to_owned(),
            instance: None,
            last_token: Some(1),
            snapshots: 1,
        };
        let copy = Snapshot {
            volume: id,
            status: snapshot.to_owned(),
            size: 1,
            last_token: Some(1),
        };
        Ledger {
            volumes: [(id, row)].into(),
            snapshots: [(id, copy)].into(),
            requests: vec![Request {
                id: 1,
                operation: Operation::Create,
                volume: id,
                state: request.to_owned(),
                token: Some(1),
            }],
            ..Ledger::default()
        }
    }

    #[test]
    fn is_content_with_what_rests() {
        let check = check(&ledger("in-use", "error", "failed"));
        assert_eq!((check.examined, check.violations.len()), (3, 0));
    }

    #[test]
    fn sees_what_is_stuck() {
        for (volume, snapshot, request) in [
            ("recovering", "available", "done"),
            ("extending", "available", "done"),
            ("available", "creating", "done"),
            ("available", "available", "open"),
        ] {
            let check = check(&ledger(volume, snapshot, request));
            assert_eq!(check.violations.len(), 1, "{volume} {snapshot} {request}");
        }
    }

    #[test]
    fn sees_a_lock_that_nobody_freed() {
        let locked = Ledger {
            locks: vec!["volume 1".to_owned()],
            ..ledger("available", "available", "done")
        };
        assert_eq!(check(&locked).violations.len(), 1);
    }
}
