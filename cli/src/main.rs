//! The program `volguard`.

#![deny(unsafe_op_in_unsafe_fn)]

mod args;
mod command;
mod connect;
mod error;
mod lock;
mod query;
mod sabotage;
mod section;
mod table;
mod text;
mod top;

use crate::args::{Arguments, Command, Database};
use crate::error::Failure;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no failures. A pipe that is closed is nothing to complain about.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(Failure::Usage(String::new()).code())
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            tell(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        // It forks, so it has to come before the runtime.
        Command::Lock(lock) => lock::run(&arguments.database, lock),
        other => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(Failure::system("a runtime"))?.block_on(ask(&arguments.database, other))
        }
    }
}

async fn ask(database: &Database, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Lock(_) => unreachable!("it has been run"),
        Command::Status(shown) => command::status(database, shown).await?,
        Command::Who(asked) => command::who(database, asked).await?,
        Command::Waiters(shown) => command::waiters(database, shown).await?,
        Command::Events(asked) => command::events(database, asked).await?,
        Command::Free(asked) => {
            let freed = command::free(database, asked).await?;
            return Ok(if freed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Cleanup(asked) => command::cleanup(database, asked).await?,
        Command::Top(asked) => return top::top(database, asked).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says it on stderr.
fn tell(text: &str) {
    use std::io::Write;
    // There is no other place to complain at.
    let _ = writeln!(std::io::stderr(), "volguard: {}", text::visible(text));
}
