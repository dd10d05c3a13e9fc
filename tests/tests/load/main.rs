//! Locks under load: many who wait for one key, many keys at once, and what waiting costs.
//!
//! The longest lines are for `make soak`, which uses the same functions.

mod dead_holder;
mod idle;
mod many_keys;
mod turns;

use std::time::Duration;

/// Longer than any of these tests takes.
const LEASE: Duration = Duration::from_secs(600);
const LONG: Duration = Duration::from_secs(60);
const SETTLED: Duration = Duration::from_secs(10);
