//! Locks under load: many waiters for one key, many keys at once, and the cost of waiting.
//!
//! `make soak` has the longest wait queues and uses the same functions.

mod dead_holder;
mod idle;
mod many_keys;
mod turns;

use std::time::Duration;

/// Longer than any of these tests takes.
const LEASE: Duration = Duration::from_secs(600);
const LONG: Duration = Duration::from_secs(300);
const SETTLED: Duration = Duration::from_secs(30);
