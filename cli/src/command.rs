//! The commands that ask the database once.

mod cleanup;
mod events;
mod free;
mod print;
mod status;
mod waiters;
mod who;

pub(crate) use self::cleanup::cleanup;
pub(crate) use self::events::events;
pub(crate) use self::free::free;
pub(crate) use self::status::status;
pub(crate) use self::waiters::waiters;
pub(crate) use self::who::who;
