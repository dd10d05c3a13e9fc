//! A private Postgres for the demo, the tests and the benchmarks, and the tests that need a real server.
//!
//! [`PrivateServer`] is a throw-away cluster with the volguard extension of this working tree in it, and [`PgBouncer`]
//! a pooler in front of any server; [`Daemon`] is a server of any other kind. All run as user `postgres` if the owner
//! is root, and end when their owner ends, in any way. The binary `with-postgres` runs a command under the first two.
//! [`scenario`] has the parts of fault tests, [`history`] judges long runs, [`soak`] plays them, and [`drill`] plays
//! fail-over.

pub mod conformance;
mod daemon;
pub mod drill;
mod error;
pub mod faketime;
mod guardian;
pub mod history;
mod install;
mod os_user;
mod package;
mod patroni;
mod pgbouncer;
mod port;
mod private_server;
mod run_dir;
pub mod scenario;
pub mod soak;
pub mod time;
mod users_server;
mod workspace;

pub use daemon::Daemon;
pub use error::Error;
pub use install::PostgresInstall;
pub use package::{Package, Profile};
pub use patroni::{Patroni, PatroniOptions};
pub use pgbouncer::PgBouncer;
pub use private_server::{PrivateServer, PrivateServerBuilder};
pub use users_server::require_extension;

/// The Rust examples of the documents compile. (Those of the client's own manual are its crate documentation.)
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/claim-cleanup.md")]
#[doc = include_str!("../../docs/high-availability.md")]
#[doc = include_str!("../../docs/rust.md")]
struct Documents;
