//! Acquiring locks, one or many, and releasing them.

pub mod acquire;
pub mod acquire_all;
pub mod attempts;
pub mod conflict;
pub mod list;
pub mod queues;
pub mod reconcile;
pub mod release;
pub mod release_requests;
pub mod request;
pub mod set_status;
