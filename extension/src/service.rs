//! Services: incarnations, heartbeats, fences, clusters.

pub mod cluster;
pub mod deregister;
pub mod fence;
pub mod guard;
pub mod heartbeat;
pub mod identity;
pub mod register;
