//! `conformance [options] -- command argument…` checks a program against docs/write-a-client.md.

use std::process::ExitCode;

use volguard_tests::conformance::{AT_ONCE, CHECKS, Check, Subject, check_all, table};
use volguard_tests::scenario::Route;

const USAGE: &str = "\
usage: conformance [options] -- command [argument...]

Starts a private Postgres, runs the command under each check with a database and a network of its own, and prints a
table. Exits with 0 if all checks are ok, with 1 if one has FAILED.

  --route direct|pgbouncer   how the program reaches the server (direct)
  --only NAME                this check; may be repeated
  --at-once NUMBER           how many checks run at once (8)
  --list                     the names of the checks, and their rules
  --help                     this text";

struct Options {
    subject: Subject,
    checks: Vec<&'static Check>,
    list: bool,
    at_once: usize,
}

fn main() -> ExitCode {
    let options = match parse() {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("conformance: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.list {
        for check in CHECKS {
            println!("{:<15} {}", check.name, check.rule);
        }
        return ExitCode::SUCCESS;
    }
    let Options { subject, checks, at_once, .. } = options;
    let pairs: Vec<_> = checks.iter().map(|check| (*check, subject.clone())).collect();
    let verdicts = check_all(&pairs, at_once);
    print!("{}", table(&checks, &verdicts));
    let failed = verdicts.iter().filter(|verdict| verdict.is_err()).count();
    println!("{} ok, {failed} FAILED", verdicts.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;

    let (mut route, mut checks, mut list, mut command) = (Route::Direct, Vec::new(), false, Vec::new());
    let mut at_once = AT_ONCE;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("route") => {
                route = match &*parser.value()?.string()? {
                    "direct" => Route::Direct,
                    "pgbouncer" => Route::Pooled,
                    other => return Err(format!("no route is called {other}").into()),
                };
            }
            Long("only") => {
                let name = parser.value()?.string()?;
                let found = CHECKS.iter().find(|check| check.name == name);
                checks.push(found.ok_or_else(|| format!("no check is called {name}"))?);
            }
            Long("at-once") => at_once = parser.value()?.parse()?,
            Long("list") => list = true,
            Long("help") | Short('h') => return Ok(None),
            Value(first) => {
                command.push(first.string()?);
                for rest in parser.raw_args()? {
                    command.push(rest.string()?);
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    if command.is_empty() && !list {
        return Err("name the command".into());
    }
    if checks.is_empty() {
        checks.extend(CHECKS);
    }
    // One argument is a line of the shell, as it comes from `make conformance COMMAND='…'`.
    let command = command.join(" ");
    Ok(Some(Options { subject: Subject { command, environment: Vec::new(), route }, checks, list, at_once }))
}
