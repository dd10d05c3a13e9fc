//! What people look at when a program waits: which calls wait for what, and why a lock isn't free. What is lost with a
//! DROP EXTENSION.

pub mod dropped;
mod holder;
mod sentence;
pub mod waiting;
mod why;
