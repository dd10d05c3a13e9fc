//! The fence, and what the operations leave on the disk.

use std::fs::{self, File};

use tempfile::TempDir;

use super::*;

const VOLUME: Uuid = Uuid::from_u128(1);
const SNAPSHOT: Uuid = Uuid::from_u128(2);

fn storage(fence: bool) -> (TempDir, Storage) {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::new(directory.path(), Duration::ZERO, fence);
    storage.layout().make().unwrap();
    (directory, storage)
}

fn enter(storage: &Storage, token: i64, operation: Operation) -> Inside<'_> {
    let owner = Owner {
        token,
        service_id: token,
        at: 0,
    };
    storage.enter(VOLUME, owner, operation).unwrap()
}

/// A volume of three MiB, by token 1.
fn volume(storage: &Storage) {
    let inside = enter(storage, 1, Operation::Create);
    inside.create(3).unwrap();
    inside.leave().unwrap();
}

fn size(storage: &Storage) -> u64 {
    let file = fs::metadata(storage.layout().volume(VOLUME)).unwrap();
    file.len() / MIB
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, StorageError>) -> bool {
    matches!(result, Err(StorageError::Fenced { .. }))
}

#[test]
fn a_smaller_token_changes_nothing() {
    let (_directory, storage) = storage(true);
    volume(&storage);
    let zombie = enter(&storage, 2, Operation::Extend);
    let successor = enter(&storage, 3, Operation::Recover);
    assert!(is_fenced(zombie.extend(3, 5)));
    assert_eq!(size(&storage), 3);
    let truth = Truth::Present {
        size: 3,
        instance: None,
    };
    successor.recover(&truth).unwrap();
    successor.leave().unwrap();
    // Also when the successor is gone again.
    assert!(is_fenced(zombie.extend(3, 5)));
    assert!(is_fenced(zombie.leave()));
    let late = Owner {
        token: 2,
        service_id: 2,
        at: 0,
    };
    assert!(is_fenced(storage.enter(VOLUME, late, Operation::Delete)));
}

#[test]
fn without_the_fence_it_does_harm() {
    let (_directory, storage) = storage(false);
    volume(&storage);
    let zombie = enter(&storage, 2, Operation::Extend);
    let _successor = enter(&storage, 3, Operation::Recover);
    zombie.extend(3, 5).unwrap();
    assert_eq!(size(&storage), 5);
}

#[test]
fn a_recovery_makes_true_what_the_database_says() {
    let (_directory, storage) = storage(true);
    volume(&storage);
    enter(&storage, 2, Operation::Extend).extend(3, 5).unwrap();
    enter(&storage, 3, Operation::Attach).attach("web").unwrap();
    let truth = Truth::Present {
        size: 3,
        instance: None,
    };
    let inside = enter(&storage, 4, Operation::Recover);
    inside.recover(&truth).unwrap();
    assert_eq!(size(&storage), 3);
    assert!(!storage.layout().attachment(VOLUME).exists());
    inside.recover(&Truth::Absent).unwrap();
    assert!(!storage.layout().volume(VOLUME).exists());
}

#[test]
fn a_snapshot_is_a_whole_copy_and_then_has_its_name() {
    let (_directory, storage) = storage(true);
    volume(&storage);
    let inside = enter(&storage, 2, Operation::Snapshot);
    inside.snapshot(SNAPSHOT, 3).unwrap();
    let copy = File::open(storage.layout().snapshot(SNAPSHOT)).unwrap();
    let tokens = [0, 1, 2].map(|mib| {
        let stamp = Stamp::read(&copy, mib).unwrap().unwrap();
        assert_eq!((stamp.volume, stamp.mib), (VOLUME, mib));
        stamp.token
    });
    assert_eq!(tokens, [2, 1, 1]);
    assert!(!storage.layout().partial(SNAPSHOT).exists());
    inside.discard(SNAPSHOT).unwrap();
    assert!(!storage.layout().snapshot(SNAPSHOT).exists());
}

#[test]
fn attaching_is_exclusive_and_what_may_be_repeated_can_be() {
    let (_directory, storage) = storage(true);
    volume(&storage);
    let inside = enter(&storage, 2, Operation::Attach);
    inside.attach("web").unwrap();
    assert!(matches!(inside.attach("db"), Err(StorageError::Io(_))));
    let marker = read_marker(&storage.layout().attachment(VOLUME)).unwrap();
    assert_eq!(marker, Some(("web".to_owned(), 2)));
    for _ in 0..2 {
        inside.detach().unwrap();
    }
    for _ in 0..2 {
        inside.delete().unwrap();
    }
    assert!(!storage.layout().volume(VOLUME).exists());
}
