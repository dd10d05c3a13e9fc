//! The key of a cached update: what calls of one statement have in common. That is everything in their documents but
//! the values of scalars that are members of key, changes or expected. An application has few such keys, however many
//! rows it updates.

use crate::input::jsonb::{Jsonb, Stored};
use crate::pg::owner;
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// A longer key is not used: such documents hold data rather than a program's own conditions.
const LONGEST: usize = 4 << 10;

#[derive(Debug)]
pub struct CacheKey<'c> {
    /// Two calls with the same bytes run the same statement, as long as the catalog stays the same.
    pub bytes: Vec<u8>,
    /// The members of key, changes and expected, in this order; a literal of the grammar has their number.
    pub members: Vec<Stored<'c>>,
}

impl<'c> CacheKey<'c> {
    /// `documents` are key, changes and expected; every byte of `others` counts. `None` if a document is no object,
    /// or if they are too large.
    pub fn of(target: Oid, documents: [Jsonb<'c>; 3], others: [Option<&[u8]>; 3]) -> Option<Self> {
        let mut key = CacheKey { bytes: Vec::with_capacity(512), members: Vec::with_capacity(16) };
        key.number(target.to_u32());
        // The caller and the path decide what the names in the documents mean.
        key.number(owner::caller().to_u32());
        // SAFETY: the setting's value, a C string until the setting changes.
        key.run_of(unsafe { CStr::from_ptr(pg_sys::namespace_search_path) }.to_bytes());
        for document in documents {
            key.add(document)?;
        }
        for bytes in others {
            key.bytes.push(bytes.is_some().into());
            key.run_of(bytes.unwrap_or_default());
        }
        (key.bytes.len() <= LONGEST).then_some(key)
    }

    /// Adds each member of a document.
    fn add(&mut self, document: Jsonb<'c>) -> Option<()> {
        let mut is_text = true;
        let is_object = document.each_member(|name, stored| {
            self.run_of(name);
            self.bytes.push(match stored {
                Stored::Null => b'0',
                Stored::Boolean(_) => b'b',
                Stored::Number(_) => b'n',
                Stored::Text(_) => b't',
                Stored::Composed(_) => b'c',
            });
            match stored {
                Stored::Composed(bytes) => self.run_of(bytes),
                // In a database with another encoding. The grammar reports it.
                Stored::Text(text) => is_text &= std::str::from_utf8(text).is_ok(),
                _ => {}
            }
            self.members.push(stored);
        });
        // Larger than the length of any run, so it ends the document.
        self.number(u32::MAX);
        (is_object && is_text).then_some(())
    }

    /// Bytes after their length, so that no two sequences of runs look the same.
    fn run_of(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u32);
        // What is too long is only counted.
        let rest = (LONGEST + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(rest)]);
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_ne_bytes());
    }
}
