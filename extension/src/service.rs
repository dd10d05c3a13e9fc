//! Services: their incarnations, heartbeats, fences and clusters.

pub mod broken;
pub mod cluster;
pub mod fence;
pub mod heartbeat;
pub mod identity;
pub mod in_time;
pub mod operator;
pub mod patience;
pub mod register;
pub mod service_lock;
pub mod update_service;
