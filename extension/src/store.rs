//! The extension's own tables: the statements on them, and lookups and writes without a statement.

pub mod commit_log;
pub mod events;
pub mod index_scan;
pub mod indexes;
pub mod key;
pub mod liveness;
pub mod lookup;
pub mod removal;
pub mod row_state;
pub mod spelling;
pub mod sql;
pub mod tables;
pub mod token;
pub mod tracked;
pub mod write;
