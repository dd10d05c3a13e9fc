//! The files against the database: their sizes, and whose data is in them.

use std::collections::HashMap;

use uuid::Uuid;

use super::ledger::Volume;
use super::shelf::Image;
use super::{Check, Ledger, Shelf};
use crate::storage::{MIB, Mark};

/// Every volume has its file, of its size, full of its own data, under the token of the latest operation.
pub(super) fn of_volumes(ledger: &Ledger, shelf: &Shelf) -> Check {
    let mut check =
        Check::new("volumes: size in the database = size on disk, latest token in the file");
    for (id, volume) in &ledger.volumes {
        let name = &volume.name;
        let Some(image) = has_file(volume).then(|| shelf.volumes.get(id)) else {
            continue;
        };
        let Some(image) = image else {
            check.demand(false, || format!("{name} ({}) has no file", volume.status));
            continue;
        };
        demand_size(&mut check, name, image, volume.size);
        demand_own(&mut check, name, image, *id);
        let stamped = image.stamps.first().copied().flatten();
        let stamped = stamped.map(|stamp| stamp.token);
        let journal = latest_stamp(shelf, *id);
        check.demand(stamped == volume.last_token && stamped == journal, || {
            format!(
                "{name}: token {stamped:?} in the file, {:?} in the database, {journal:?} in the journal",
                volume.last_token
            )
        });
    }
    check
}

/// Every snapshot is whole, and its volume's book counts it.
pub(super) fn of_snapshots(ledger: &Ledger, shelf: &Shelf) -> Check {
    let mut check =
        Check::new("snapshots: whole copies of their volume, as many as the volume counts");
    let mut counts: HashMap<Uuid, u64> = HashMap::new();
    for (id, snapshot) in &ledger.snapshots {
        *counts.entry(snapshot.volume).or_default() += 1;
        if snapshot.status != "available" {
            continue;
        }
        let name = format!("snapshot {id}");
        let Some(image) = shelf.snapshots.get(id) else {
            check.demand(false, || format!("{name} has no file"));
            continue;
        };
        demand_size(&mut check, &name, image, snapshot.size);
        demand_own(&mut check, &name, image, snapshot.volume);
        let stamped = image.stamps.first().copied().flatten();
        let stamped = stamped.map(|stamp| stamp.token);
        check.demand(stamped == snapshot.last_token, || {
            format!(
                "{name}: token {stamped:?} in the file, {:?} in the database",
                snapshot.last_token
            )
        });
    }
    for (id, volume) in &ledger.volumes {
        let counted = counts.get(id).copied().unwrap_or_default();
        check.demand(counted == volume.snapshots, || {
            format!(
                "{} counts {} snapshots and has {counted}",
                volume.name, volume.snapshots
            )
        });
    }
    check
}

/// What is deleted, failed or half made has no file.
pub(super) fn no_leftovers(ledger: &Ledger, shelf: &Shelf) -> Check {
    let mut check = Check::new("nothing on disk of what is deleted, failed or half made");
    for id in shelf.volumes.keys() {
        let owner = ledger.volumes.get(id);
        check.demand(owner.is_some_and(has_file), || {
            let owner = owner.map_or("unknown", |volume| volume.status.as_str());
            format!("volume {id} is {owner} and has a file")
        });
    }
    for id in shelf.snapshots.keys() {
        let owner = ledger.snapshots.get(id);
        let alive = owner.is_some_and(|snapshot| snapshot.status == "available");
        check.demand(alive, || format!("snapshot {id} has a file"));
    }
    for id in &shelf.partial {
        check.demand(false, || format!("snapshot {id} is half copied"));
    }
    check
}

fn has_file(volume: &Volume) -> bool {
    matches!(volume.status.as_str(), "available" | "in-use")
}

fn demand_size(check: &mut Check, name: &str, image: &Image, size: u64) {
    check.demand(image.length == size * MIB, || {
        format!(
            "{name}: {} bytes on disk, {size} MiB in the database",
            image.length
        )
    });
}

/// Each MiB was written for this volume, and for this place in it.
fn demand_own(check: &mut Check, name: &str, image: &Image, volume: Uuid) {
    let mut stamps = (0..).zip(&image.stamps);
    let own = stamps
        .all(|(mib, stamp)| stamp.is_some_and(|stamp| stamp.volume == volume && stamp.mib == mib));
    check.demand(own, || format!("{name} contains what isn't its own"));
}

fn latest_stamp(shelf: &Shelf, volume: Uuid) -> Option<i64> {
    let records = shelf.journals.get(&volume)?.iter().flatten();
    records
        .filter(|record| record.mark == Mark::End && record.operation.stamps_volume())
        .map(|record| record.token)
        .next_back()
}

#[cfg(test)]
mod tests;
