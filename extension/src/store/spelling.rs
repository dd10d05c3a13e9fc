//! One spelling for each resource: the id of a tracked type is read by the type of its column, and kept as that type
//! writes it. So `'7'` and `' 07'` are one resource where the column is an integer.
//!
//! A type can be tracked while its locks are being acquired. Each side writes first and looks at what the other has
//! written then, committed or not: of two at the same time at least one finds the other, and gives up.

use super::index_scan;
use super::key::Key;
use super::tables::Tables;
use super::tracked::Resource;
use crate::input::argument;
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{FromDatum, IntoDatum};
use std::borrow::Cow;
use std::collections::BTreeSet;
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

    pub fn spell<'a>(self, id: &'a str, path: &str) -> Result<Cow<'a, str>, Error> {
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

/// The one spelling of an id of a type; as it is passed if the type isn't tracked. `path` names the argument in an
/// error.
pub fn spelled<'a>(tracked: Option<&Resource>, id: &'a str, path: &str) -> Result<Cow<'a, str>, Error> {
    match tracked {
        Some(tracked) => tracked.spelling.spell(id, path),
        None => Ok(Cow::Borrowed(id)),
    }
}

/// The one spelling of an id, of whatever type.
pub fn spell<'a>(resource_type: &str, id: &'a str, path: &str) -> Result<Cow<'a, str>, Error> {
    spelled(Resource::look_up(resource_type)?.as_ref(), id, path)
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

/// A lock whose row was written just now.
pub struct Inserted<'k> {
    pub key: &'k Key<'k>,
    /// For work: the table that the type was tracked in when the privilege to work on it was checked.
    pub work_on: Option<Option<Oid>>,
}

/// For locks whose rows were written just now: is each key still spelled as when it was looked up, and is work still on
/// the same table?
pub fn check_inserted<'k>(locks: impl Iterator<Item = Inserted<'k>>) -> Result<(), Error> {
    if sabotage::removed(Guard::SpellingCheck) {
        return Ok(());
    }
    let mut known: Option<(&str, Vec<Resource>)> = None;
    for Inserted { key, work_on } in locks {
        let found = match known.take() {
            Some((resource_type, found)) if resource_type == key.resource_type => found,
            _ => Resource::versions(key.resource_type)?,
        };
        for tracked in &found {
            let is_moved = work_on.is_some_and(|target| target != Some(tracked.target));
            if is_moved || tracked.spelling.spell(key.resource_id, "resource_id")? != key.resource_id {
                return Err(Error::Busy {
                    what: format!("resource type {} is being tracked at this moment", key.resource_type),
                    hint: "Repeat the call: then it is known how ids of that type are spelled, and which privilege work on them needs.",
                });
            }
        }
        known = Some((key.resource_type, found));
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
    let ids = unsafe { index_scan::dirty(tables.workers, Oid::INVALID, (type_column, name), [resource_id])? };
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

/// Who has work on resources of a type, committed or not: services, and the roles that have submitted what waits for
/// one.
pub fn at_work(resource_type: &str) -> Result<(BTreeSet<i64>, BTreeSet<String>), Error> {
    let tables = Tables::open()?;
    let [_, type_column, _] = tables.columns.key;
    let columns = [tables.columns.service_id, tables.columns.status, tables.columns.submitted_by];
    let name = resource_type.into_datum().unwrap_or(Datum::null());
    // SAFETY: the table is locked, and the columns are a text, a bigint and a text.
    let work = unsafe { index_scan::dirty(tables.workers, Oid::INVALID, (type_column, name), columns)? };
    let (mut services, mut submitters) = (BTreeSet::new(), BTreeSet::new());
    for [service, status, submitted_by] in work {
        match (status, service, submitted_by) {
            // SAFETY: a bigint, in a copy of the row.
            (Some(_), Some(service), _) => services.extend(unsafe { i64::from_datum(service, false) }),
            (Some(_), None, Some(role)) => {
                // SAFETY: a name, in a copy of the row.
                let role = unsafe { <&CStr>::from_datum(role, false) };
                submitters.extend(role.map(|role| role.to_string_lossy().into_owned()));
            }
            _ => {}
        }
    }
    Ok((services, submitters))
}
