//! Services: their incarnations, heartbeats, fences and clusters.

pub mod cluster;
pub mod fence;
pub mod heartbeat;
pub mod identity;
pub mod register;
pub mod service_lock;
