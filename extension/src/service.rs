//! Services: incarnations, heartbeats, fences, clusters.

pub mod cluster;
pub mod fence;
pub mod register;
