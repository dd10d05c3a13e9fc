//! Fail-over on real servers while clients are at work, and a verdict on the result.
//!
//! [`play`] kills the primary of three servers, again and again, and promotes a standby: by hand or by Patroni.
//! [`fork`] promotes two standbys that know nothing of one another.

mod by_hand;
mod by_patroni;
mod cluster;
mod fork;
mod options;
mod outcome;
mod play;
mod round;

pub use fork::fork;
pub use options::{Mode, Options};
pub use outcome::Outcome;
pub use play::play;
pub use round::Round;
