//! The border to Postgres: errors and their reports, SPI, roles, settings, the catalog.

pub mod catch;
pub mod durability;
pub mod error;
pub mod export;
pub mod invalidation;
pub mod lookup_locks;
pub mod overrides;
pub mod owner;
pub mod report;
pub mod row_json;
pub mod scratch;
pub mod settings;
pub mod spi;
pub mod syscache;
pub mod version;
