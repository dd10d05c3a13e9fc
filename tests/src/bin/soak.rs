//! `soak`: fairness in wait queues of many lengths, then a storm
//! of faults and a verdict; exit code 1 if a promise was broken.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use volguard_tests::PrivateServer;
use volguard_tests::scenario::{furnish, url};
use volguard_tests::soak::{Options, Order, play, take_turns};

const USAGE: &str = "\
usage: soak [options]

Lets clients take turns in wait queues of 2, 8, 32, 100 and 250; then lets two dozen client processes acquire, write
and release, submit work and do it while clients are killed and stopped, sessions ended, connections cut and the server crashed, and checks
the records of clients and database.

  --seconds N   the length of the storm (300)
  --clients N   how many processes (24)
  --turns N     hand-overs in each wait queue; 0 skips them (5000)
  --seed N      repeats the choices of an earlier run; the timing of the machine still differs
  --help        this text";

/// The lengths of the wait queues.
const LENGTHS: [usize; 5] = [2, 8, 32, 100, 250];

struct Arguments {
    storm: Options,
    turns: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Some(arguments) = parse()? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let mut sound = true;
    if arguments.turns > 0 {
        sound &= wait_queues(arguments.turns).await?;
    }
    let storm = &arguments.storm;
    println!(
        "storm of {} s, {} clients, {} hot keys, leases of {:?}, seed {}",
        storm.duration.as_secs(),
        storm.clients,
        storm.habits.hot_keys,
        storm.lease,
        storm.seed
    );
    let outcome = play(storm).await?;
    println!("{outcome}");
    sound &= outcome.offences.is_empty();
    Ok(ExitCode::from(u8::from(!sound)))
}

fn parse() -> anyhow::Result<Option<Arguments>> {
    use lexopt::prelude::{Long, ValueExt as _};
    // Cargo puts both binaries into one directory.
    let client = env::current_exe()?.with_file_name("soak-client");
    let mut storm = Options::new(client, fastrand::u64(0..1_000_000_000));
    storm.duration = Duration::from_secs(300);
    let mut turns = 5000;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => storm.duration = Duration::from_secs(parser.value()?.parse()?),
            Long("clients") => storm.clients = parser.value()?.parse()?,
            Long("turns") => turns = parser.value()?.parse()?,
            Long("seed") => storm.seed = parser.value()?.parse()?,
            Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()).context(USAGE),
        }
    }
    Ok(Some(Arguments { storm, turns }))
}

async fn wait_queues(turns: usize) -> anyhow::Result<bool> {
    let server =
        PrivateServer::builder().setting("max_connections", "300").setting("volguard.max_waiters", "300").start()?;
    furnish(&server)?;
    let url = url("manager", server.port(), "volguard");
    let mut fair = true;
    for waiters in LENGTHS {
        let key = format!("queue-{waiters}");
        let served = take_turns(&url, &key, waiters, turns, Order::Line).await?;
        let verdict = if served.is_fair() { "" } else { ": NOT FAIR" };
        println!("{served}{verdict}");
        fair &= served.is_fair();
    }
    Ok(fair)
}
