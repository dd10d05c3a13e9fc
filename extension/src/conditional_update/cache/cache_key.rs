//! What documents have in common that come to the same statement: everything but the scalars at their top, of which only
//! the kind counts. An application has few signatures, however many rows it updates.

use crate::conditional_update::call::Call;
use crate::input::jsonb::{Jsonb, Part};
use crate::pg::owner;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Longer ones are read anew each time: they hold data rather than a program's own conditions.
const LONGEST: usize = 4 << 10;

#[derive(Debug)]
pub struct Signature<'c> {
    /// Two calls with the same bytes come to the same statement, as long as the catalog stays as it is.
    pub bytes: Vec<u8>,
    /// What stands at the top of key, changes and expected, one after the other.
    pub parts: Vec<Part<'c>>,
}

impl<'c> Signature<'c> {
    /// `None` for documents that are no objects, or too large to be worth it.
    pub fn of(call: &Call<'c>) -> Option<Self> {
        let mut signature = Signature {
            bytes: Vec::with_capacity(512),
            parts: Vec::with_capacity(16),
        };
        signature.number(call.target.to_u32());
        // Who asks, and by which path, decides what the names in the documents mean.
        signature.number(owner::caller().to_u32());
        // SAFETY: the setting's value, a C string while nothing sets it.
        signature.run_of(unsafe { CStr::from_ptr(pg_sys::namespace_search_path) }.to_bytes());
        for document in [call.key, call.changes, call.expected] {
            signature.open(document)?;
        }
        let others = [
            call.filter.map(Jsonb::bytes),
            call.changes_sql.map(Jsonb::bytes),
            call.filter_sql.as_deref().map(str::as_bytes),
        ];
        for bytes in others {
            signature.bytes.push(bytes.is_some().into());
            signature.run_of(bytes.unwrap_or_default());
        }
        (signature.bytes.len() <= LONGEST).then_some(signature)
    }

    /// Takes a document member by member.
    fn open(&mut self, document: Jsonb<'c>) -> Option<()> {
        let mut is_text = true;
        let is_object = document.each_member(|name, part| {
            self.run_of(name);
            self.bytes.push(match part {
                Part::Null => b'0',
                Part::Boolean(_) => b'b',
                Part::Number(_) => b'n',
                Part::Text(_) => b't',
                Part::Composed(_) => b'c',
            });
            match part {
                Part::Composed(bytes) => self.run_of(bytes),
                // In a database of another encoding; reading the document says what to do.
                Part::Text(text) => is_text &= std::str::from_utf8(text).is_ok(),
                _ => {}
            }
            self.parts.push(part);
        });
        // Longer than any run, so that the next document's members are no more of this one's.
        self.number(u32::MAX);
        (is_object && is_text).then_some(())
    }

    /// Bytes with their length before them, so that no two sequences of runs look the same.
    fn run_of(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u32);
        // What is too long is only counted.
        let rest = (LONGEST + 1).saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(rest)]);
    }

    fn number(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_ne_bytes());
    }
}
