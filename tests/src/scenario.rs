//! The parts of fault scenarios.
//!
//! A scenario runs on a [`Site`], a database of its own, and fails with a [`Violation`] when it sees what must
//! never happen. The same scenario runs with every guard, and with one guard removed: there it has to fail.

mod disk;
mod ledger;
mod observer;
mod party;
mod polls;
mod proxy;
mod site;
mod sql;
mod stand;
mod until;
mod violation;
mod worker;
mod writer;

pub use disk::{Disk, Turn};
pub use ledger::Ledger;
pub use observer::Observer;
pub use party::{Held, Party};
pub use polls::{Polls, When};
pub use proxy::{Cut, Direction, Proxy, Road};
pub use site::{CONNECT_TIMEOUT, Route, Site, furnish, furnish_by, url};
pub use sql::{Sql, acquire, acquire_all, sqlstate};
pub use until::{PATIENCE, until, until_within};
pub use violation::Violation;
pub use worker::{Worker, WorkerOptions};
pub use writer::{Conduct, News, Writer, WriterOptions};
