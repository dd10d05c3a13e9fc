//! What a caller passes: plain arguments and JSON documents.

pub mod argument;
pub mod document;
pub mod jsonb;
