//! Checks of a verb's plain arguments: present, not too long, within their limits.

use crate::pg::error::Error;
use crate::pg::log::is_control;
use crate::pg::settings;
use crate::sabotage::{self, Guard};
use pgrx::datum::Interval;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest name, in bytes. The names of a key must fit into one index entry (2,704 bytes).
pub const LONGEST_NAME: usize = 255;
/// The longest id of a resource, in bytes. It may be a path or a URL.
pub const LONGEST_RESOURCE_ID: usize = 1024;

/// What is wrong with a name, and what to do about it.
pub type Flaw = (String, &'static str);

pub fn required<T>(argument: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Null { argument })
}

/// A list, which may be empty, or NULL: so is `array_agg` of no rows. No element is NULL.
pub fn list_or_none<T>(argument: &'static str, values: Option<Vec<Option<T>>>) -> Result<Vec<T>, Error> {
    list(argument, Some(values.unwrap_or_default()))
}

/// A list, which may be empty; no element is NULL.
pub fn list<T>(argument: &'static str, values: Option<Vec<Option<T>>>) -> Result<Vec<T>, Error> {
    required(argument, values)?.into_iter().map(|value| required(argument, value)).collect()
}

/// A name, which must not be empty.
pub fn name<'a>(argument: &'static str, value: Option<&'a str>) -> Result<&'a str, Error> {
    let name = text(argument, required(argument, value)?, LONGEST_NAME)?;
    not_empty(argument, name)
}

/// A resource's id.
pub fn resource_id(value: Option<&str>) -> Result<&str, Error> {
    const ARGUMENT: &str = "resource_id";
    let id = text(ARGUMENT, required(ARGUMENT, value)?, LONGEST_RESOURCE_ID)?;
    not_empty(ARGUMENT, id)
}

/// The name of one of several locks of a resource; empty, or NULL, if the resource has one lock only.
pub fn lock_name(value: Option<&str>) -> Result<&str, Error> {
    text("lock_name", value.unwrap_or_default(), LONGEST_NAME)
}

/// A name that may be missing: then it is empty.
pub fn optional_name(argument: &'static str, value: Option<String>) -> Result<String, Error> {
    match value {
        None => Ok(String::new()),
        Some(value) => name(argument, Some(&value)).map(|_| value.clone()),
    }
}

/// How many rows at the most.
pub fn at_least_one(max_rows: i32) -> Result<usize, Error> {
    let rows = usize::try_from(max_rows).ok().filter(|rows| *rows > 0);
    rows.ok_or_else(|| {
        let hint = "Pass how many pieces of work the service wants at most.";
        Error::invalid("max_rows", "must be positive", hint)
    })
}

/// A status; `None` for a plain lock.
pub fn status(value: Option<&str>) -> Result<Option<&str>, Error> {
    value.map(|status| not_empty("status", text("status", status, LONGEST_NAME)?)).transpose()
}

/// The longest wait for work. Each waiting statement holds back vacuum, so callers repeat.
const LONGEST_WAIT_FOR_WORK: Duration = Duration::from_secs(30);

/// How long to wait for work; as [`wait`].
pub fn wait_for_work(value: Option<Interval>) -> Result<Duration, Error> {
    let wait = wait(value)?;
    match wait <= LONGEST_WAIT_FOR_WORK {
        true => Ok(wait),
        false => {
            let problem = format!("is {} seconds; 30 are allowed", wait.as_secs_f64());
            Err(Error::invalid("wait", problem, "Call again if there was no work."))
        }
    }
}

/// How long to wait, not longer than `volguard.max_wait`; not at all if it is NULL.
pub fn wait(value: Option<Interval>) -> Result<Duration, Error> {
    const ARGUMENT: &str = "wait";
    let Some(wait) = value else {
        return Ok(Duration::ZERO);
    };
    if is_infinite(&wait) {
        let hint = "Pass a finite interval; a wait has to end.";
        return Err(Error::invalid(ARGUMENT, "must not be infinite", hint));
    }
    let micros = wait.as_micros();
    if micros < 0 {
        let hint = "Pass '0' to take the lock only if it is free at once.";
        return Err(Error::invalid(ARGUMENT, "must not be negative", hint));
    }
    let (wait, longest) = (Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)), settings::max_wait());
    if wait > longest {
        let hint = "A number without a unit is one of seconds: pass '5 s' or '5000 ms'. The limit is the setting volguard.max_wait; to wait longer, call again.";
        let problem = format!("is {} seconds; {} are allowed", micros as f64 / 1e6, longest.as_secs_f64());
        return Err(Error::invalid(ARGUMENT, problem, hint));
    }
    Ok(wait)
}

/// The lengths of a lease, in microseconds: 100 ms to a year. A shorter one ends before a heartbeat can come. A longer
/// one would only hide that the service is dead, and could overflow the clock.
pub const LEASES: RangeInclusive<i64> = 100_000..=366 * 24 * 60 * 60 * 1_000_000;

/// How long a service counts as alive after a heartbeat.
pub fn lease(lease: Interval) -> Result<Interval, Error> {
    const ARGUMENT: &str = "lease";
    if is_infinite(&lease) {
        let hint = "A service whose lease never ends could never be cleaned up.";
        return Err(Error::invalid(ARGUMENT, "must not be infinite", hint));
    }
    if (lease.months(), lease.days()) != (0, 0) {
        let hint = "The calendar decides how long a day or a month is. Pass '24 hours' in place of '1 day'.";
        return Err(Error::invalid(ARGUMENT, "must be in hours, minutes and seconds", hint));
    }
    let hint = "Pass the time after which a silent service is down, such as '60 s'.";
    match lease.micros() {
        length if LEASES.contains(&length) => Ok(lease),
        length if length < *LEASES.start() => Err(Error::invalid(ARGUMENT, "must not be shorter than 100 ms", hint)),
        _ => Err(Error::invalid(ARGUMENT, "must not be longer than a year of 366 days", hint)),
    }
}

/// Since Postgres 17 an interval can be infinite: all its fields at their limits.
fn is_infinite(interval: &Interval) -> bool {
    let fields = (interval.months(), interval.days(), interval.micros());
    fields == (i32::MAX, i32::MAX, i64::MAX) || fields == (i32::MIN, i32::MIN, i64::MIN)
}

fn text<'a>(argument: &'static str, text: &'a str, longest: usize) -> Result<&'a str, Error> {
    without(argument, too_long(text, longest).or_else(|| control_character(text)), text)
}

fn not_empty<'a>(argument: &'static str, text: &'a str) -> Result<&'a str, Error> {
    without(argument, empty(text), text)
}

fn without<'a>(argument: &'static str, flaw: Option<Flaw>, text: &'a str) -> Result<&'a str, Error> {
    match flaw {
        Some((problem, hint)) => Err(Error::invalid(argument, problem, hint)),
        None => Ok(text),
    }
}

pub fn too_long(text: &str, longest: usize) -> Option<Flaw> {
    let problem = || format!("is {} bytes long; {longest} are allowed", text.len());
    (text.len() > longest).then(|| (problem(), "Use a shorter name, or a hash of it."))
}

/// Names stand in lines of the server's log, and on the screens of those who look for them: a line break, or an escape
/// sequence, in one of them would forge what is read there.
pub fn control_character(text: &str) -> Option<Flaw> {
    if sabotage::removed(Guard::ControlCharacters) {
        return None;
    }
    let found = text.chars().find(|character| is_control(*character))?;
    let problem = format!("has the control character U+{:04X}", u32::from(found));
    Some((problem, "Use printable characters, or a hash of the name."))
}

pub fn empty(text: &str) -> Option<Flaw> {
    text.is_empty().then(|| ("must not be empty".to_owned(), "Pass a name."))
}
