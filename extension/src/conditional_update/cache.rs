//! Statements and their plans, kept for calls that look alike.

pub mod cache_key;
pub mod cached_update;
pub mod memory;
pub mod plan;
pub mod row_lock;
pub mod updates;
