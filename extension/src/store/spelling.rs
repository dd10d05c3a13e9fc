//! One spelling for each resource: the id of a tracked type is read by the type of its column, and kept as that type
//! writes it. So `'7'` and `' 07'` are one resource where the column is an integer.
//!
//! A type can be tracked while its locks are being acquired. Each side writes first and looks at what the other has
//! written then, committed or not: of two at the same time at least one finds the other, and gives up.

use super::index_scan;
use super::indexes::{Entries, usable};
use super::key::Key;
use super::lookup::fields;
use super::tables::{self, Tables};
use crate::input::argument;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, Oid, Relation, SnapshotType};
use pgrx::{FromDatum, IntoDatum};
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// The types of ids: equal values have equal texts, and no setting or clock plays a part in reading or writing them.
const ID_TYPES: [Oid; 11] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::UUIDOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::BPCHAROID,
    pg_sys::NAMEOID,
    pg_sys::BYTEAOID,
    pg_sys::INETOID,
    pg_sys::OIDOID,
];

/// How the ids of a tracked type are spelled: as this type writes them. It is that of the id column when the type was
/// tracked, so that no DDL on the table changes how locks are spelled that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling(pub Oid);

impl Spelling {
    /// That of a column of this type and collation; `None` if it can't be an id.
    pub fn by(type_oid: Oid, collation: Oid) -> Option<Self> {
        // SAFETY: catalog lookups of a running transaction.
        let (base, deterministic) = unsafe {
            let deterministic = collation == Oid::INVALID || pg_sys::get_collation_isdeterministic(collation);
            (pg_sys::getBaseType(type_oid), deterministic)
        };
        (deterministic && ID_TYPES.contains(&base)).then_some(Spelling(base))
    }

    fn spell<'a>(self, id: &'a str, path: &str) -> Result<Cow<'a, str>, Error> {
        if sabotage::removed(Guard::Spelling) {
            return Ok(Cow::Borrowed(id));
        }
        match self.0 {
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Ok(Cow::Borrowed(id)),
            // Blanks at the end are no part of the value.
            pg_sys::BPCHAROID => match id.trim_end_matches(' ') {
                "" => Err(Error::invalid("resource_id", "must not be blank", "Pass the id of a resource.")),
                id => Ok(Cow::Borrowed(id)),
            },
            type_oid => {
                let value = read(type_oid, id).map_err(|error| error.at(path))?;
                let id = written(type_oid, value)?;
                // A bytea is longer in its own spelling.
                argument::resource_id(Some(&id))?;
                Ok(Cow::Owned(id))
            }
        }
    }
}

/// The one spelling of an id; as it is passed if the type isn't tracked. `path` names the argument in an error.
pub fn spell<'a>(resource_type: &str, id: &'a str, path: &str) -> Result<Cow<'a, str>, Error> {
    // As committed, without a snapshot: a look takes no predicate lock.
    match tracked(resource_type, SnapshotType::SNAPSHOT_SELF)?.last() {
        Some(spelling) => spelling.spell(id, path),
        None => Ok(Cow::Borrowed(id)),
    }
}

fn read(type_oid: Oid, id: &str) -> Result<Datum, Error> {
    let id = CString::new(id).expect("a text has no NUL character");
    let (mut function, mut parameter_type) = (Oid::INVALID, Oid::INVALID);
    // SAFETY: a type of Postgres' own, whose input function gets what it takes; the closure owns nothing.
    unsafe {
        pg_sys::getTypeInputInfo(type_oid, &mut function, &mut parameter_type);
        let text = id.as_ptr().cast_mut();
        catching(|| raw::OidInputFunctionCall(function, text, parameter_type, -1))
    }
}

fn written(type_oid: Oid, value: Datum) -> Result<String, Error> {
    if type_oid == pg_sys::BYTEAOID {
        // The type writes in one of two formats, by a setting.
        // SAFETY: a bytea that was read just now.
        let bytes = unsafe { Vec::<u8>::from_datum(value, false) }.unwrap_or_default();
        return Ok(bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}")));
    }
    let (mut function, mut is_varlena) = (Oid::INVALID, false);
    // SAFETY: the output function of the value's type; its C string is copied at once. The closure owns nothing.
    unsafe {
        pg_sys::getTypeOutputInfo(type_oid, &mut function, &mut is_varlena);
        let text = catching(|| raw::OidOutputFunctionCall(function, value))?;
        Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

/// For locks whose rows were inserted just now: is each key still spelled as when it was looked up?
pub fn check_inserted<'k>(keys: impl Iterator<Item = &'k Key<'k>>) -> Result<(), Error> {
    if sabotage::removed(Guard::SpellingCheck) {
        return Ok(());
    }
    let mut known: Option<(&str, Vec<Spelling>)> = None;
    for key in keys {
        let spellings = match known.take() {
            Some((resource_type, spellings)) if resource_type == key.resource_type => spellings,
            _ => tracked(key.resource_type, SnapshotType::SNAPSHOT_DIRTY)?,
        };
        for spelling in &spellings {
            if spelling.spell(key.resource_id, "resource_id")? != key.resource_id {
                return Err(Error::Busy {
                    what: format!("resource type {} is being tracked at this moment", key.resource_type),
                    hint: "Repeat the call: then it is known how ids of that type are spelled.",
                });
            }
        }
        known = Some((key.resource_type, spellings));
    }
    Ok(())
}

/// For a type that is tracked from now on, whose row in `resources` was written just now: has no lock of it another
/// spelling, or none at all?
pub fn check_locks(resource_type: &str, spelling: Spelling) -> Result<(), Error> {
    let tables = Tables::open()?;
    let [resource_id, type_column, _] = tables.columns.key;
    let name = resource_type.into_datum().unwrap_or(Datum::null());
    // SAFETY: the table is locked, and the columns are texts.
    let ids = unsafe {
        let mut keys = [index_scan::equals_text(type_column, name)];
        seen(tables.workers, Oid::INVALID, &mut keys, [resource_id], SnapshotType::SNAPSHOT_DIRTY)?
    };
    for [id] in ids {
        // SAFETY: a text, in a copy of the row.
        let Some(id) = id.and_then(|id| unsafe { String::from_datum(id, false) }) else {
            continue;
        };
        if !spelling.spell(&id, "resource_id").is_ok_and(|spelled| spelled == id) {
            return Err(Error::Busy {
                what: format!(
                    "{resource_type} {id} is locked, and its id is spelled as the id column would not write it"
                ),
                hint: "Release that lock, or have it released by volguard.force_release, and call volguard.track_resource again.",
            });
        }
    }
    Ok(())
}

/// The spellings in the rows of a type in `resources`: at most one committed row, but perhaps several uncommitted.
fn tracked(resource_type: &str, snapshot: SnapshotType::Type) -> Result<Vec<Spelling>, Error> {
    let resources = tables::table(c"resources")?;
    let key = tables::column(resources, c"resource_type", pg_sys::TEXTOID)?;
    let index = usable(c"resources_pkey", resources, &[key], Entries::All);
    let id_type = tables::column(resources, c"id_type", pg_sys::REGTYPEOID)?;
    let name = resource_type.into_datum().unwrap_or(Datum::null());
    // SAFETY: the columns are of these types, in a copy of the row.
    unsafe {
        let mut keys = [index_scan::equals_text(key, name)];
        let rows = seen(resources, index, &mut keys, [id_type], snapshot)?;
        Ok(rows.into_iter().filter_map(|[id_type]| Oid::from_datum(id_type?, false)).map(Spelling).collect())
    }
}

/// Columns of the rows that meet the conditions, seen as they are at this moment and not by a snapshot.
///
/// # Safety
/// The index, if it is valid, is one of the table, and the conditions are on its first columns; the numbers are those
/// of columns.
unsafe fn seen<const N: usize>(
    table: Oid,
    index: Oid,
    keys: &mut [pg_sys::ScanKeyData],
    columns: [i16; N],
    snapshot_type: SnapshotType::Type,
) -> Result<Vec<[Option<Datum>; N]>, Error> {
    let share = pg_sys::AccessShareLock as i32;
    let mut rows = Vec::new();
    let mut snapshot = pg_sys::SnapshotData { snapshot_type, ..Default::default() };
    // SAFETY: the caller's promise. What is opened is closed, or by the abort when an error jumps out; the list is
    // outside of the closure.
    unsafe {
        catching(|| {
            // So that what this transaction has written is seen.
            raw::CommandCounterIncrement();
            let relation: Relation = raw::table_open(table, share);
            let (count, keys) = (keys.len() as i32, keys.as_mut_ptr());
            let scan = raw::systable_beginscan(relation, index, index != Oid::INVALID, &mut snapshot, count, keys);
            loop {
                let row = raw::systable_getnext(scan);
                if row.is_null() {
                    break;
                }
                rows.push(fields(relation, raw::heap_copytuple(row), columns));
            }
            raw::systable_endscan(scan);
            raw::relation_close(relation, share);
        })?;
    }
    Ok(rows)
}
