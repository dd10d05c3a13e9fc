//! The extension's own tables: the statements on them, and lookups and writes without a statement.

pub mod clusters;
pub mod columns;
pub mod commit_log;
pub mod ended;
pub mod events;
pub mod hand_out;
pub mod index_scan;
pub mod indexes;
pub mod key;
pub mod liveness;
pub mod lookup;
pub mod queue;
pub mod removal;
pub mod row_state;
pub mod scan_key;
pub mod spelling;
pub mod sql;
pub mod status;
pub mod tables;
pub mod taken;
pub mod token;
pub mod tracked;
pub mod update;
pub mod waiting;
pub mod write;
