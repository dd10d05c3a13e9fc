//! Three volume managers, each a process, work active-active on one shared directory, in which volumes are sparse
//! files. An API submits their work; there is no broker, and they coordinate by volguard alone. Two are killed, in the
//! middle of work that is retried and of work that is rolled back; the third one is paused beyond its lease. In the end
//! the checker of the tests (`volguard_tests::history`) judges what the storage has recorded, and each piece of work
//! must have ended exactly once.
//!
//! Run it by `make demo`, or as an operator of volguard against a database of yours, which is left as it was:
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example demo -- --help
//!
//! Where to begin: `schema` has the table, its statuses and the crash rules; `api` submits work; `manager` takes it and
//! finishes it; `storage` refuses what comes too late; `director` is the plot.

mod api;
mod database;
mod director;
mod evidence;
mod fault;
mod fleet;
mod manager;
mod notice;
mod operation;
mod options;
mod report;
mod schema;
mod storage;
mod timeline;
mod volume;

use std::process::ExitCode;

use anyhow::Result;
use tokio::runtime::Builder;

use self::options::{MANAGER, Plan, USAGE};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    if let Ok(post) = std::env::var(MANAGER) {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(manager::run(serde_json::from_str(&post)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(plan) = Plan::from_command_line()? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    // One thread: the kernel kills the managers when the thread ends that has started them.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(director::run(plan))? {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}
