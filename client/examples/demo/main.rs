//! An active-active volume manager on real files: several processes own one shared directory, in which volumes are sparse
//! files, and coordinate by volguard alone. One is killed, another paused beyond its lease; in the end the files are checked.
//!
//! Run it by `make demo`, or against a database of yours that has the extension:
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example demo -- --help

mod api;
mod audience;
mod cast;
mod check;
mod database;
mod director;
mod event;
mod fault;
mod listener;
mod manager;
mod operation;
mod options;
mod player;
mod report;
mod request;
mod schema;
mod storage;
mod timeline;
mod verdict;

use std::process::ExitCode;

use anyhow::Result;
use options::{Role, USAGE};

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
    match Role::from_command_line()? {
        Role::Help => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Role::Manager(post) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(manager::run(post))?;
            Ok(ExitCode::SUCCESS)
        }
        Role::Director(plan) => {
            // One thread: the kernel ends the managers with the very thread that has started them.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            match runtime.block_on(director::run(plan))? {
                0 => Ok(ExitCode::SUCCESS),
                _ => Ok(ExitCode::FAILURE),
            }
        }
    }
}
