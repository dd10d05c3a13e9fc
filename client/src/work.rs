//! A lock and the status of its resource, which change together.

mod finish;
mod guard;
mod start;

pub use self::finish::FinishWork;
pub use self::guard::Work;
pub use self::start::{StartWork, WorkOutcome};
