//! volguard: locks, crash cleanup and compare-and-swap for active-active volume managers, inside Postgres.

mod catch;
mod error;
mod export;
mod settings;
mod spi;

pgrx::pg_module_magic!(name, version);

#[pgrx::pg_guard]
#[allow(non_snake_case)]
pub extern "C-unwind" fn _PG_init() {
    settings::register();
}
