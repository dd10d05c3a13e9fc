//! Upgrades: released scripts stay as they are, each leads to the objects of this tree, and sessions, processes and
//! libraries of two versions meet without harm.

mod dump;
mod edges;
mod library;
mod papers;
mod replaced;
mod script;
mod shelf;

/// The version of this tree.
const CURRENT: &str = env!("CARGO_PKG_VERSION");
