//! Where things lie in the shared directory.

use std::path::{Path, PathBuf};
use std::{fs, io};

use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

/// A folder of the shared directory.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    Volumes,
    Snapshots,
    /// Copies that are not finished.
    Partial,
    /// One file per volume that is attached, with the instance it is attached to.
    Attachments,
    Journals,
}

impl Room {
    const ALL: [Room; 5] = [
        Room::Volumes,
        Room::Snapshots,
        Room::Partial,
        Room::Attachments,
        Room::Journals,
    ];

    fn name(self) -> &'static str {
        match self {
            Room::Volumes => "volumes",
            Room::Snapshots => "snapshots",
            Room::Partial => "partial",
            Room::Attachments => "attachments",
            Room::Journals => "journals",
        }
    }
}

impl Layout {
    pub fn new(root: &Path) -> Layout {
        Layout {
            root: root.to_owned(),
        }
    }

    pub fn make(&self) -> io::Result<()> {
        Room::ALL
            .into_iter()
            .try_for_each(|room| fs::create_dir_all(self.root.join(room.name())))
    }

    pub fn volume(&self, id: Uuid) -> PathBuf {
        self.path(Room::Volumes, id)
    }

    pub fn snapshot(&self, id: Uuid) -> PathBuf {
        self.path(Room::Snapshots, id)
    }

    pub fn partial(&self, id: Uuid) -> PathBuf {
        self.path(Room::Partial, id)
    }

    pub fn attachment(&self, volume: Uuid) -> PathBuf {
        self.path(Room::Attachments, volume)
    }

    pub fn journal(&self, volume: Uuid) -> PathBuf {
        self.path(Room::Journals, volume)
    }

    /// What is in a room: every file is named by an id.
    pub fn ids(&self, room: Room) -> io::Result<Vec<Uuid>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.root.join(room.name()))? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            ids.push(id.ok_or_else(|| {
                let stray = format!("{} is no id of a volume", name.to_string_lossy());
                io::Error::new(io::ErrorKind::InvalidData, stray)
            })?);
        }
        Ok(ids)
    }

    fn path(&self, room: Room, id: Uuid) -> PathBuf {
        self.root.join(room.name()).join(id.to_string())
    }
}
