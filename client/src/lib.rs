//! Client of the PostgreSQL extension `volguard`: locks, crash cleanup and compare-and-swap for volume managers
//! that run active-active with nothing but the database they already have.
//!
//! - [`Volguard`] is the handle on a database.
//! - [`Session`] is this process as a registered service, kept alive by heartbeats; [`Incarnations`] are its sessions,
//!   one after the other.
//! - [`Lock`] guards one resource. Work that [runs](Lock::run) under it ends with it; its token fences earlier holders.
//!   A [`LockSet`] guards several resources.
//! - [`ConditionalUpdate`] changes a row only if the row is as expected, and names the conditions that fail.
//! - [`Work`] is a lock and the status of its resource, which change together.
//! - [`Cleanup`] repairs what dead services have left, and a [`Janitor`] does so periodically. [`Session::cleanups`]
//!   passes work that no crash rule repairs to a handler of the program.
//! - [`EventLog`] reads what has happened to services and locks.
//!
//! The server gives the guarantees. This crate adds pooling, heartbeats, typed builders, and guards that clean up after
//! dropped futures. Tasks that wait for one key queue inside the process, so a contended key occupies one connection.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod acquire;
mod claim;
mod cleanup;
mod cluster;
mod connect;
mod error;
mod event_log;
mod handle;
mod interval;
mod janitor;
mod lock;
mod lock_set;
mod queue;
mod reaper;
mod resource;
mod session;
mod statements;
mod update;
mod work;

// Their types are part of this crate's interface.
pub use deadpool_postgres;
pub use tokio_postgres;
pub use tokio_util::sync::CancellationToken;

pub use acquire::{Acquire, AcquireAll, Wanted};
pub use claim::{ClaimCleanup, ClaimedCleanup, Cleanups, Restarted};
pub use cleanup::{CleanedService, Cleanup, CleanupState};
pub use connect::{ConnectBuilder, StatementMode};
pub use error::Error;
pub use event_log::{Event, EventKind, EventLog};
pub use handle::Volguard;
pub use janitor::Janitor;
pub use lock::Lock;
pub use lock_set::LockSet;
pub use resource::{CrashRule, TrackResource};
pub use session::{Incarnations, Loss, Registration, Session};
pub use update::{
    Case, Choice, Comparison, Condition, ConditionalUpdate, Exists, Expression, Filter, IntoCondition, IntoExpression,
    IntoLiteral, Literal, Negate, Negation, UpdateOutcome, UpdatedRow, add, all, any, column, concat, div, eq, exists,
    ge, gt, is, le, lt, mul, ne, not, now, one_of, outer, sub, value, when,
};
pub use work::{FinishWork, StartWork, Work, WorkOutcome};

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The examples of the manual of claims compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/claim-cleanup.md")]
struct ClaimCleanupManual;
