//! What lies in the shared directory in the end.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::storage::{Journal, Layout, MIB, Record, Room, Stamp, read_marker};

#[derive(Clone, Debug, Default)]
pub struct Shelf {
    pub volumes: HashMap<Uuid, Image>,
    pub snapshots: HashMap<Uuid, Image>,
    /// Copies that were never finished.
    pub partial: Vec<Uuid>,
    /// Instance and token; `None` for a marker that can't be read.
    pub attachments: HashMap<Uuid, Option<(String, i64)>>,
    /// `None` for a broken record.
    pub journals: HashMap<Uuid, Vec<Option<Record>>>,
}

/// A volume's or a snapshot's file.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Bytes.
    pub length: u64,
    /// At the beginning of each MiB.
    pub stamps: Vec<Option<Stamp>>,
}

impl Shelf {
    pub fn read(layout: &Layout) -> io::Result<Shelf> {
        let ids = |room| layout.ids(room);
        Ok(Shelf {
            volumes: each(ids(Room::Volumes)?, |id| Image::read(&layout.volume(id)))?,
            snapshots: each(ids(Room::Snapshots)?, |id| {
                Image::read(&layout.snapshot(id))
            })?,
            partial: ids(Room::Partial)?,
            attachments: each(ids(Room::Attachments)?, |id| {
                read_marker(&layout.attachment(id))
            })?,
            journals: each(ids(Room::Journals)?, |id| {
                Journal::read(&layout.journal(id))
            })?,
        })
    }
}

impl Image {
    fn read(path: &Path) -> io::Result<Image> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let stamps = (0..length / MIB).map(|mib| Stamp::read(&file, mib));
        Ok(Image {
            length,
            stamps: stamps.collect::<io::Result<_>>()?,
        })
    }
}

fn each<T>(ids: Vec<Uuid>, read: impl Fn(Uuid) -> io::Result<T>) -> io::Result<HashMap<Uuid, T>> {
    ids.into_iter().map(|id| Ok((id, read(id)?))).collect()
}
