//! `drill`: fail-over on real servers with clients at work, and tables of the result; exit code 1 if a promise was
//! broken.

use std::env;
use std::process::ExitCode;

use anyhow::Context;
use volguard_tests::Profile;
use volguard_tests::drill::{Mode, Options, fork, play};

const USAGE: &str = "\
usage: drill [options]

Kills the primary of three servers by SIGKILL, promotes a standby, and brings the killed one back by pg_rewind, while
clients take locks and write with their tokens as fences: with a synchronous standby, with standbys that lag, and with
Patroni and etcd. Promotes two standbys that know nothing of one another. Checks the records of clients and database.

  --rounds N          how often the primary is killed by hand (10)
  --patroni-rounds N  how often with Patroni; 0 if it is not installed (3)
  --clients N         how many client processes (4)
  --only PART         synchronous, lagging, patroni or fork
  --seed N            repeats the clients' choices of an earlier run; the timing of the machine still differs
  --help              this text";

struct Arguments {
    rounds: usize,
    patroni_rounds: usize,
    clients: usize,
    seed: u64,
    only: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Some(arguments) = parse()? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let wanted = |part: &str| arguments.only.as_ref().is_none_or(|only| only == part);
    let parts = [
        ("synchronous", Mode::Synchronous, arguments.rounds),
        ("lagging", Mode::Lagging, arguments.rounds),
        ("patroni", Mode::Patroni, arguments.patroni_rounds),
    ];
    println!("seed {}", arguments.seed);
    let mut sound = true;
    for (_, mode, rounds) in parts.into_iter().filter(|(part, _, rounds)| wanted(part) && *rounds > 0) {
        // Cargo puts both binaries into one directory.
        let client = env::current_exe()?.with_file_name("soak-client");
        let options =
            Options { clients: arguments.clients, seed: arguments.seed, ..Options::new(client, mode, rounds) };
        let outcome = play(&options).await?;
        println!("\n{outcome}");
        sound &= outcome.offences.is_empty();
    }
    if wanted("fork") {
        let offences = fork(Profile::Debug).await?;
        println!("\ntwo promotions that know nothing of one another: {} violations", offences.len());
        offences.iter().take(5).for_each(|offence| println!("{offence}"));
        sound &= offences.is_empty();
    }
    Ok(ExitCode::from(u8::from(!sound)))
}

fn parse() -> anyhow::Result<Option<Arguments>> {
    use lexopt::prelude::{Long, ValueExt as _};
    let mut arguments =
        Arguments { rounds: 10, patroni_rounds: 3, clients: 4, seed: fastrand::u64(0..1_000_000_000), only: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("rounds") => arguments.rounds = parser.value()?.parse()?,
            Long("patroni-rounds") => arguments.patroni_rounds = parser.value()?.parse()?,
            Long("clients") => arguments.clients = parser.value()?.parse()?,
            Long("seed") => arguments.seed = parser.value()?.parse()?,
            Long("only") => arguments.only = Some(parser.value()?.string()?),
            Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()).context(USAGE),
        }
    }
    Ok(Some(arguments))
}
