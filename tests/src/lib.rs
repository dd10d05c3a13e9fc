//! A private Postgres for the demo, the tests and the benchmarks, and the tests that need a real server.
//!
//! [`PrivateServer`] is a throw-away cluster with the volguard extension of this working tree in it, and
//! [`PgBouncer`] a pooler in front of any server; [`Daemon`] is a server of any other kind. All run as user `postgres`
//! when the owner is root, and are gone when their owner is, in whatever way it ends. The binary `with-postgres` runs a
//! command under the first two. [`scenario`] has what tests of faults are made of, [`history`] judges what happened in long
//! ones, and [`soak`] plays these.

mod daemon;
mod error;
mod guardian;
pub mod history;
mod install;
mod os_user;
mod package;
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
pub use pgbouncer::PgBouncer;
pub use private_server::{PrivateServer, PrivateServerBuilder};
pub use users_server::require_extension;
