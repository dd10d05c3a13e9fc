//! Whether a program keeps the rules of docs/write-a-client.md.
//!
//! A program of any language stands for a volume manager, and is run as a command. Each [`Check`] has a database and a
//! network of its own, plays one fault, and judges by what the program says, by what it sends, and by the server's own
//! tables. `make conformance COMMAND='…'` runs all of them.

mod checks;
mod line;
mod network;
mod program;
mod report;
mod stage;

pub use checks::{CHECKS, Check, Verdict};
pub use network::{Call, Fault, Network};
pub use report::{AT_ONCE, all_of, check_all, table};
pub use stage::Subject;
