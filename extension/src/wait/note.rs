//! The note of a waiting call: what it waits for, for which service, and since when.
//!
//! It stands where Postgres' long commands show their progress: 160 bytes of the session's entry in shared memory,
//! which only that session writes, and which an abort clears. Names that don't fit are cut; the number of the queue
//! tells them from others.

use super::tag::{Mode, Tag, TagKind};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Oid};

/// A command number that Postgres doesn't use. Its views of progress pass over it.
const COMMAND: pg_sys::ProgressCommandType::Type = 0x5647;
const PARAMETERS: usize = 20;
const SIZE: usize = PARAMETERS * 8;
/// Distinguishes a note from parameters that are not written yet, and from notes of another layout.
const LAYOUT: u8 = 1;
const HEADER: usize = 32;
const TEXT: usize = SIZE - HEADER;
/// How much of resource_type, and of lock_name, there is room for if not all fits. The resource_id gets the rest.
const SHARE: usize = 32;
const ELLIPSIS: &str = "…";

/// What a waiting call says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The lock that the call waits for, or heads: its kind and number.
    pub kind: u16,
    pub number: u64,
    pub service_id: i64,
    /// In microseconds.
    pub since: i64,
    /// resource_type, resource_id, lock_name
    pub names: [String; 3],
    /// Not all of the names fitted.
    pub clipped: bool,
    /// The call has its turn, and waits for the row of the resource in the user's table.
    pub for_row: bool,
}

impl Note {
    pub fn of(tag: &Tag, service_id: i64, since: i64, names: [&str; 3]) -> Self {
        let clipped = names.iter().map(|name| name.len()).sum::<usize>() > TEXT;
        let mut names = names.map(str::to_owned);
        if clipped {
            clip(&mut names[0], SHARE);
            clip(&mut names[2], SHARE);
            let rest = TEXT - names[0].len() - names[2].len();
            clip(&mut names[1], rest);
        }
        Note { kind: tag.kind() as u16, number: tag.number(), service_id, since, names, clipped, for_row: false }
    }

    fn bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[0..8].copy_from_slice(&self.number.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.service_id.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.since.to_ne_bytes());
        bytes[24..26].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[26] = LAYOUT;
        bytes[27] = u8::from(self.clipped) | u8::from(self.for_row) << 1;
        let mut at = HEADER;
        for (place, name) in self.names.iter().enumerate() {
            bytes[28 + place] = name.len() as u8;
            bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
            at += name.len();
        }
        bytes
    }

    /// The note in a session's entry, if there is one.
    pub fn read(command: pg_sys::ProgressCommandType::Type, parameters: &[i64; PARAMETERS]) -> Option<Self> {
        let bytes: Vec<u8> = parameters.iter().flat_map(|parameter| parameter.to_ne_bytes()).collect();
        if command != COMMAND || bytes[26] != LAYOUT {
            return None;
        }
        let number = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let mut at = HEADER;
        let mut name = |place: usize| {
            let from = at;
            at += usize::from(bytes[28 + place]);
            bytes.get(from..at).map(|name| String::from_utf8_lossy(name).into_owned())
        };
        Some(Note {
            kind: u16::from_ne_bytes([bytes[24], bytes[25]]),
            number: number(0)?,
            service_id: number(8)?.cast_signed(),
            since: number(16)?.cast_signed(),
            clipped: bytes[27] & 1 != 0,
            for_row: bytes[27] & 2 != 0,
            names: [name(0)?, name(1)?, name(2)?],
        })
    }

    /// Shows the note to other sessions. False where it can't: `track_activities` is off, or a command of Postgres
    /// shows its progress.
    pub fn show(&self) -> bool {
        let shown = is_shown();
        if !can_show() || !(shown || command() == pg_sys::ProgressCommandType::PROGRESS_COMMAND_INVALID) {
            return false;
        }
        let bytes = self.bytes();
        let parameter = |place: usize| i64::from_ne_bytes(bytes[place * 8..][..8].try_into().expect("eight bytes"));
        let values: [i64; PARAMETERS] = std::array::from_fn(parameter);
        let places: [i32; PARAMETERS] = std::array::from_fn(|place| place as i32);
        // SAFETY: write to the session's own entry, and raise nothing; both arrays have so many elements.
        unsafe {
            if !shown {
                pg_sys::pgstat_progress_start_command(COMMAND, Oid::INVALID);
            }
            pg_sys::pgstat_progress_update_multi_param(PARAMETERS as i32, places.as_ptr(), values.as_ptr());
        }
        true
    }
}

/// Takes back the note of this session, if it shows one.
pub fn take_back() {
    if is_shown() && !sabotage::removed(Guard::NoteEnds) {
        // SAFETY: writes to the session's own entry, and raises nothing.
        unsafe { pg_sys::pgstat_progress_end_command() };
    }
}

/// Cuts a name that is longer than so many bytes, so that it shows.
fn clip(name: &mut String, most: usize) {
    if name.len() > most {
        let end = (0..=most - ELLIPSIS.len()).rev().find(|at| name.is_char_boundary(*at));
        name.truncate(end.unwrap_or_default());
        name.push_str(ELLIPSIS);
    }
}

fn can_show() -> bool {
    // SAFETY: plain variables of the backend.
    unsafe { pg_sys::pgstat_track_activities && !pg_sys::MyBEEntry.is_null() }
}

fn command() -> pg_sys::ProgressCommandType::Type {
    // SAFETY: the session's own entry, which only the session writes.
    unsafe { (*pg_sys::MyBEEntry).st_progress_command }
}

fn is_shown() -> bool {
    can_show() && command() == COMMAND
}

/// What stands for a note where none can be shown: three locks, whose numbers are the service, the time, and the number
/// of the lock that the call waits for.
#[derive(Debug)]
pub struct Markers([Tag; 3]);

impl Markers {
    pub fn set(tag: &Tag, service_id: i64, since: i64) -> Result<Self, Error> {
        let markers = [
            Tag::of_number(TagKind::WaitingService, service_id.cast_unsigned()),
            Tag::of_number(TagKind::WaitingSince, since.cast_unsigned()),
            Tag::of_number(TagKind::WaitingFor, tag.number()),
        ];
        for marker in &markers {
            marker.try_lock(Mode::Shared)?;
        }
        Ok(Markers(markers))
    }

    /// After an error they go with the transaction, or the savepoint.
    pub fn remove(self) {
        for marker in &self.0 {
            marker.unlock(Mode::Shared);
        }
    }
}
