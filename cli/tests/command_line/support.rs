//! What the tests share: databases, the program, the processes that it starts.

mod database;
mod processes;
mod program;
pub(crate) mod screen;

pub(crate) use database::{Database, port};
pub(crate) use processes::{Processes, child_named, is_alive};
pub(crate) use program::{Program, command, ended, run};
