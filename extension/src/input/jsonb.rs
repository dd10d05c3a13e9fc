//! A document as it came, a `jsonb`: its text, or its members in place.
//!
//! The members are read in place because that is done at each call, and the smallest documents are made in the same
//! form. The format is the one that Postgres stores (`utils/jsonb.h`), which can't change as long as pg_upgrade is to
//! work. A container is a header (its kind and the number of its members), an entry for each name, an entry for each
//! value, and then what the entries refer to, end to end. An entry has the type of its data, and either their length or
//! their end.

use super::document::{Members, Path};
use crate::pg::error::Error;
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum};
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr;

const COUNT: u32 = 0x0FFF_FFFF;
const IS_OBJECT: u32 = 0x2000_0000;

const ENDS_AT: u32 = 0x8000_0000;
const LENGTH: u32 = 0x0FFF_FFFF;
const TYPE: u32 = 0x7000_0000;
const STRING: u32 = 0x0000_0000;
const NUMERIC: u32 = 0x1000_0000;
const FALSE: u32 = 0x2000_0000;
const TRUE: u32 = 0x3000_0000;
const CONTAINER: u32 = 0x5000_0000;

/// How many scalars, lists and objects a document may hold.
const MOST_VALUES: usize = 10_000;

/// Deeper lists and objects are not counted: the parser refuses them.
const DEEPEST: usize = 128;

/// A `jsonb` that is wholly in memory.
#[derive(Clone, Copy, Debug)]
pub struct Jsonb<'c> {
    jsonb: *mut pg_sys::Jsonb,
    lives: PhantomData<&'c pg_sys::Jsonb>,
}

/// The value of a member, as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'c> {
    Null,
    Boolean(bool),
    /// A numeric of Postgres.
    Number(&'c [u8]),
    Text(&'c [u8]),
    /// A list or an object.
    Composed(&'c [u8]),
}

impl Stored<'_> {
    /// A scalar as text; `None` for null, lists and objects.
    pub fn text(self) -> Option<String> {
        match self {
            Stored::Null | Stored::Composed(_) => None,
            Stored::Boolean(value) => Some(value.to_string()),
            Stored::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Stored::Number(number) => Some(number_text(number).to_string_lossy().into_owned()),
        }
    }
}

/// Whether an object of the text, as `jsonb` writes it, has a member by whose name serde_json passes numbers on:
/// reading it would make a number of the object. In a string, a quote has a backslash before it.
fn names_a_number(text: &str) -> bool {
    const NAME: &str = r#""$serde_json::private::Number": "#;
    text.match_indices(NAME).any(|(at, _)| !text[..at].ends_with('\\'))
}

/// The text of a [`Stored::Number`], in the current memory context.
pub fn number_text(number: &[u8]) -> &CStr {
    let function = pg_sys::Oid::from(pg_sys::F_NUMERIC_OUT);
    // SAFETY: a numeric, aligned as the document is; its own output function returns a C string.
    unsafe {
        let number = Datum::from(number.as_ptr());
        CStr::from_ptr(pg_sys::OidOutputFunctionCall(function, number))
    }
}

impl<'c> Jsonb<'c> {
    /// # Safety
    /// `datum` is a jsonb. It and the current memory context live for `'c`.
    pub unsafe fn new(datum: Datum) -> Self {
        Jsonb {
            // SAFETY: the caller's promise.
            jsonb: unsafe { pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast() },
            lives: PhantomData,
        }
    }

    /// An object without members, in the current memory context.
    pub fn empty() -> Self {
        Jsonb::made(&[IS_OBJECT], "", "")
    }

    /// An object with one member, a text, in the current memory context.
    pub fn of_text(name: &str, text: &str) -> Self {
        // The end of the first entry is its length.
        let entries = [STRING | ENDS_AT | name.len() as u32, STRING | text.len() as u32];
        Jsonb::made(&[IS_OBJECT | 1, entries[0], entries[1]], name, text)
    }

    /// Of a header with its entries, and what these refer to.
    fn made(words: &[u32], name: &str, text: &str) -> Self {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(text.as_bytes());
        // SAFETY: a varlena that was just made, in the form of a jsonb.
        unsafe { Jsonb::new(bytes.into_datum().expect("bytes are no NULL")) }
    }

    /// Its bytes without the header. Equal bytes are equal documents.
    pub fn bytes(self) -> &'c [u8] {
        // SAFETY: detoasted, so its header has four bytes and holds the length.
        unsafe {
            let length = pgrx::varsize(self.jsonb.cast()) - pg_sys::VARHDRSZ;
            std::slice::from_raw_parts((&raw const (*self.jsonb).root).cast(), length)
        }
    }

    /// Its text, to be read as a whole. An error if it holds more values than `most`. pgrx's `JsonB` would panic if a
    /// document is nested too deep.
    pub fn text(self, path: &Path, most: usize) -> Result<&'c str, Error> {
        let mut left = most;
        if !holds_at_most(self.bytes(), &mut left, 0) {
            let problem = format!("the document holds more than {most} values");
            return Err(path.fault(problem, "Pass a smaller document.").into());
        }
        // SAFETY: in memory as a whole; its text is a C string in the current memory context.
        let text = unsafe {
            let length = pgrx::varsize(self.jsonb.cast()) as i32;
            let root = &raw mut (*self.jsonb).root;
            CStr::from_ptr(pg_sys::JsonbToCString(ptr::null_mut(), root, length))
        };
        let text =
            text.to_str().map_err(|error| path.fault(error.to_string(), "Use a database whose encoding is UTF8."))?;
        if names_a_number(text) {
            return Err(path
                .fault("has a member with a reserved name", "Rename the member $serde_json::private::Number.")
                .into());
        }
        Ok(text)
    }

    /// Reads a document that must be an object.
    pub fn members(self, argument: &str) -> Result<Members, Error> {
        let path = Path::root(argument);
        Ok(Members::parse(self.text(&path, MOST_VALUES)?, &path)?)
    }

    pub fn is_object(self) -> bool {
        word(self.bytes(), 0) & IS_OBJECT != 0
    }

    /// Calls `each` with the name and the value of each member, in the order of the document's text. False if the
    /// document is no object.
    pub fn each_member(self, mut each: impl FnMut(&'c [u8], Stored<'c>)) -> bool {
        if !self.is_object() {
            return false;
        }
        let bytes = self.bytes();
        let count = (word(bytes, 0) & COUNT) as usize;
        let mut items = items(bytes);
        let names: Vec<_> = items.by_ref().take(count).map(|(_, name)| name).collect();
        for (name, (kind, value)) in names.into_iter().zip(items) {
            let stored = match kind {
                STRING => Stored::Text(value),
                NUMERIC => Stored::Number(value),
                FALSE => Stored::Boolean(false),
                TRUE => Stored::Boolean(true),
                CONTAINER => Stored::Composed(value),
                _ => Stored::Null,
            };
            each(name, stored);
        }
        true
    }
}

/// What a container holds, each with its type: the items of a list, or the names and then the values of an object.
fn items(container: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let header = word(container, 0);
    let entries = match header & IS_OBJECT {
        0 => (header & COUNT) as usize,
        _ => 2 * (header & COUNT) as usize,
    };
    let data = &container[4 + 4 * entries..];
    let mut start = 0;
    (0..entries).map(move |at| {
        let entry = word(container, 1 + at);
        let end = match entry & ENDS_AT {
            0 => start + (entry & LENGTH) as usize,
            _ => (entry & LENGTH) as usize,
        };
        let mut range = std::mem::replace(&mut start, end)..end;
        // Numbers and containers are aligned to four bytes; the padding before them counts as theirs.
        if matches!(entry & TYPE, NUMERIC | CONTAINER) {
            range.start = range.start.next_multiple_of(4);
        }
        (entry & TYPE, &data[range])
    })
}

/// Takes the values in a container off those that are left. False if there are more; then it ends at once.
fn holds_at_most(container: &[u8], left: &mut usize, depth: usize) -> bool {
    let count = (word(container, 0) & COUNT) as usize;
    if count > *left {
        return false;
    }
    *left -= count;
    let mut containers = items(container).filter(|(kind, _)| *kind == CONTAINER);
    depth == DEEPEST || containers.all(|(_, inner)| holds_at_most(inner, left, depth + 1))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes[4 * at..].first_chunk();
    u32::from_ne_bytes(*word.expect("a header counts the entries behind it"))
}
