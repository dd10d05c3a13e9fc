//! Taking over the work of crashed services.

mod claimed;
mod claims;

pub use self::claimed::Claimed;
pub use self::claims::Claims;
