//! The border to Postgres: errors and their reports, SPI, roles, settings, the catalog.

#[cfg_attr(test, allow(dead_code, reason = "the unit tests run without Postgres, and so with Rust's allocator"))]
mod allocator;
pub mod argument_size;
pub mod catch;
pub mod clip;
pub mod durability;
pub mod error;
pub mod export;
pub mod invalidation;
pub mod log;
pub mod lookup_locks;
pub mod overrides;
pub mod owner;
pub mod process;
pub mod report;
pub mod row_json;
pub mod rows;
pub mod scratch;
pub mod settings;
pub mod spi;
pub mod syscache;
pub mod time_limit;
pub mod transaction;
pub mod version;
