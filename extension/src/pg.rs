//! The border to Postgres: errors, catching, SPI, roles, settings.

pub mod catch;
pub mod error;
pub mod export;
pub mod invalidation;
pub mod owner;
pub mod scratch;
pub mod search_path;
pub mod settings;
pub mod spi;
