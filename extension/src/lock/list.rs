//! Reads the argument `locks` of `acquire_all`: a JSON list of objects.

use super::request::Wanted;
use crate::cleanup::permission;
use crate::input::argument::{self, Flaw, LONGEST_NAME, LONGEST_RESOURCE_ID};
use crate::input::document::{Fault, Path};
use crate::pg::catch::{catching, raw};
use crate::pg::error::Error;
use crate::pg::spi::arg;
use crate::store::key::Key;
use crate::store::spelling;
use crate::store::tracked::Resource;
use pgrx::pg_sys::{self, Datum, Oid};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::ffi::CString;

/// One lock of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub resource_type: String,
    pub resource_id: String,
    pub lock_name: String,
    pub status: Option<String>,
    /// JSON text.
    details: Option<String>,
    /// The table that the type is tracked in.
    tracked_in: Option<Oid>,
}

impl Listed {
    /// The lock with its values as Datums, in the current memory context.
    pub fn wanted(&self) -> Result<Wanted<'_>, Error> {
        let details = self.details.as_deref().map(jsonb).transpose()?;
        Ok(Wanted {
            key: Key::new(&self.resource_type, &self.resource_id, &self.lock_name),
            working: self.status.is_some(),
            tracked_in: self.tracked_in,
            status: self.status.as_deref().and_then(arg),
            details,
        })
    }
}

/// A `jsonb`, in the current memory context.
fn jsonb(text: &str) -> Result<Datum, Error> {
    let text = CString::new(text).expect("the text of a jsonb has no NUL character");
    let text = text.as_ptr().cast_mut();
    // SAFETY: the type's own input function, with a C string that outlives the call; the closure owns nothing.
    unsafe {
        let input = Oid::from(pg_sys::F_JSONB_IN);
        catching(|| raw::OidInputFunctionCall(input, text, Oid::INVALID, -1))
    }
}

/// Reads the text of the list. `most` is how many wait queues it may need: one per lock, another one per status.
pub fn parse(text: &str, most: usize) -> Result<Vec<Listed>, Fault> {
    let path = Path::root("locks");
    if !text.trim_start().starts_with('[') {
        return Err(path.fault(
            "must be a list",
            r#"Pass a JSON list of locks, such as [{"resource_type": "volume", "resource_id": "v-1"}]."#,
        ));
    }
    let items: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| path.fault(error.to_string(), "Pass details with fewer levels of nesting."))?;
    if items.is_empty() {
        return Err(path.fault("must not be empty", "Name at least one lock."));
    }
    let count = items.len();
    let too_many = || {
        path.fault(
            format!("holds {count} locks; {most} are allowed, where one with a status counts as two"),
            "Pass fewer locks, or raise max_locks_per_transaction.",
        )
    };
    if count > most {
        return Err(too_many());
    }
    let read = |(at, item)| lock(item, &path.item(at));
    let locks = items.into_iter().enumerate().map(read);
    let locks = locks.collect::<Result<Vec<Listed>, Fault>>()?;
    if count + locks.iter().filter(|lock| lock.status.is_some()).count() > most {
        return Err(too_many());
    }
    check_distinct(&locks, &path)?;
    Ok(locks)
}

/// Gives each id its one spelling. Two that were different may be the same then. `role` must be allowed to work on the
/// resources of the locks that have a status.
pub fn spell(locks: &mut [Listed], role: Oid) -> Result<(), Error> {
    let path = Path::root("locks");
    let mut changed = false;
    let mut types: HashMap<String, (Option<Resource>, bool)> = HashMap::new();
    for (at, lock) in locks.iter_mut().enumerate() {
        let place = path.item(at).member("resource_id").to_string();
        if !types.contains_key(&lock.resource_type) {
            types.insert(lock.resource_type.clone(), (Resource::look_up(&lock.resource_type)?, false));
        }
        let Some((tracked, permitted)) = types.get_mut(&lock.resource_type) else { continue };
        if lock.status.is_some() && !*permitted {
            permission::by_id(tracked.as_ref(), &lock.resource_type, role)?;
            *permitted = true;
        }
        lock.tracked_in = tracked.as_ref().map(|tracked| tracked.target);
        let spelled = spelling::spelled(tracked.as_ref(), &lock.resource_id, &place)?;
        if spelled != lock.resource_id {
            (lock.resource_id, changed) = (spelled.into_owned(), true);
        }
    }
    match changed {
        true => Ok(check_distinct(locks, &path)?),
        false => Ok(()),
    }
}

fn lock(item: Value, path: &Path) -> Result<Listed, Fault> {
    const MEMBERS: &str = "A lock has resource_type and resource_id, and may have lock_name, status and details.";
    let Value::Object(mut members) = item else {
        return Err(path.fault("must be an object", MEMBERS));
    };
    let resource_type = required_member(&mut members, path, "resource_type", LONGEST_NAME)?;
    let resource_id = required_member(&mut members, path, "resource_id", LONGEST_RESOURCE_ID)?;
    let lock_name = match members.remove("lock_name") {
        None | Some(Value::Null) => String::new(),
        Some(name) => string(name, &path.member("lock_name"), LONGEST_NAME)?,
    };
    let status = match members.remove("status") {
        None | Some(Value::Null) => None,
        Some(status) => Some(name(status, &path.member("status"), LONGEST_NAME)?),
    };
    let details = members.remove("details").filter(|it| !it.is_null());
    if let Some(other) = members.keys().next() {
        return Err(path.member(other).fault("unknown member", MEMBERS));
    }
    Ok(Listed {
        resource_type,
        resource_id,
        lock_name,
        status,
        details: details.map(|details| details.to_string()),
        tracked_in: None,
    })
}

fn required_member(
    members: &mut Map<String, Value>,
    path: &Path,
    member: &str,
    longest: usize,
) -> Result<String, Fault> {
    let path = path.member(member);
    match members.remove(member) {
        Some(value) => name(value, &path, longest),
        None => Err(path.fault("is missing", "Every lock has a resource_type and a resource_id.")),
    }
}

/// A string that is not empty.
fn name(value: Value, path: &Path, longest: usize) -> Result<String, Fault> {
    let text = string(value, path, longest)?;
    refuse(argument::empty(&text), path)?;
    Ok(text)
}

fn string(value: Value, path: &Path, longest: usize) -> Result<String, Fault> {
    let Value::String(text) = value else {
        return Err(path.fault("must be a string", "Pass a JSON string."));
    };
    refuse(argument::too_long(&text, longest), path)?;
    refuse(argument::control_character(&text), path)?;
    Ok(text)
}

fn refuse(flaw: Option<Flaw>, path: &Path) -> Result<(), Fault> {
    match flaw {
        Some((problem, hint)) => Err(path.fault(problem, hint)),
        None => Ok(()),
    }
}

/// Refuses a list that can't be taken as a whole: one lock twice, or two locks that need the same work slot.
fn check_distinct(locks: &[Listed], path: &Path) -> Result<(), Fault> {
    let (mut keys, mut slots) = (HashMap::new(), HashMap::new());
    for (at, lock) in locks.iter().enumerate() {
        let slot = (&lock.resource_type, &lock.resource_id);
        let item = path.item(at);
        if let Some(first) = keys.insert((slot, &lock.lock_name), at) {
            let problem = format!("is the same lock as {}", path.item(first));
            return Err(item.fault(problem, "Name each lock once."));
        }
        if lock.status.is_some()
            && let Some(first) = slots.insert(slot, at)
        {
            return Err(item.member("status").fault(
                format!("{} has the work slot of that resource", path.item(first)),
                "A resource has one operation at a time. Give a status to one of its locks only.",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "../../tests/units/lock_list.rs"]
mod tests;
