//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use lexopt::prelude::*;

use crate::part::Part;
use crate::provider::Provider;
use crate::rounds::Pace;
use crate::stage::MOST_CLIENTS;

pub const HELP: &str = "\
volguard-bench [updates] [locks] [work] [queue] [cleanup] [growth] [options]

  updates         conditional_update beside the same update by hand
  locks           acquire and release beside SQL by hand, advisory locks, etcd and Redis
  work            whole operations: start_work and finish_work beside the four separate calls and beside SQL by hand
  queue           submit_work, next_work, finish_work beside queues by hand (SKIP LOCKED, pgmq) and RabbitMQ; how soon
                  an idle manager has new work; with much waiting work, and with a transaction that stays open
  cleanup         what crashed services have left, cleaned up at once, by the bare SQL, and row by row
  growth          acquire and release with ever more rows, after many cycles, among many services
                  (all of them, if none is named)

  --rounds N      how many turns each contender takes (5; cleanup, growth 3)
  --seconds S     how long one turn takes (1.2; growth 1); a cleanup takes as long as it takes
  --clients N     how many at once; several times for several numbers (1 and 16; locks 1, 4, 16, 64)
  --fsync on|off  whether Postgres' commits wait for the disk (on)
  --out DIR       where figures.json and locks.svg go (target/bench)

  --against NAME  locks, queue: only these of hand, advisory, etcd, redis (locks) and rabbitmq (queue); several times
                  for several
  --crashed N     cleanup: rows of crashed services, a multiple of four (100000)
  --most-rows N   growth, queue: the largest number of rows (1000000); ten million take some minutes to fill in
  --jobs N        queue: how many were done while a transaction was open (200000)
  --cycles N      growth: how many times a lock was taken and released before (100000)

It starts servers of its own and ignores DATABASE_URL: their settings are part of what is compared, and the server's
processor time is read on this machine. VOLGUARD_PACKAGE names a build of the extension and saves making one.
";

#[derive(Debug)]
pub struct Options {
    pub parts: Vec<Part>,
    rounds: Option<usize>,
    turn: Option<Duration>,
    clients: Vec<usize>,
    pub fsync: bool,
    pub out: PathBuf,
    pub against: Vec<Provider>,
    pub crashed: u32,
    pub most_rows: u32,
    pub cycles: u64,
    pub jobs: u32,
}

impl Options {
    /// `None` if the command line asks for help.
    pub fn from_args() -> Result<Option<Options>> {
        let mut options = Options {
            parts: Vec::new(),
            rounds: None,
            turn: None,
            clients: Vec::new(),
            fsync: true,
            out: PathBuf::from("target/bench"),
            against: Vec::new(),
            crashed: 100_000,
            most_rows: 1_000_000,
            cycles: 100_000,
            jobs: 200_000,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Value(name) => options.parts.push(name.parse_with(part)?),
                Long("rounds") => options.rounds = Some(args.value()?.parse()?),
                Long("seconds") => options.turn = Some(args.value()?.parse_with(seconds)?),
                Long("clients") => options.clients.push(args.value()?.parse()?),
                Long("fsync") => options.fsync = args.value()?.parse_with(switch)?,
                Long("out") => options.out = args.value()?.into(),
                Long("against") => options.against.push(args.value()?.parse_with(rival)?),
                Long("crashed") => options.crashed = args.value()?.parse()?,
                Long("most-rows") => options.most_rows = args.value()?.parse()?,
                Long("cycles") => options.cycles = args.value()?.parse()?,
                Long("jobs") => options.jobs = args.value()?.parse()?,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(arg.unexpected().into()),
            }
        }
        options.parts = or_else(options.parts, &Part::ALL);
        options.against = or_else(options.against, &Provider::RIVALS);
        options.clients.sort_unstable();
        options.check()?;
        Ok(Some(options))
    }

    /// The requested pace, or this one.
    pub fn pace(&self, rounds: usize, seconds: f64) -> Pace {
        Pace { rounds: self.rounds.unwrap_or(rounds), turn: self.turn.unwrap_or(Duration::from_secs_f64(seconds)) }
    }

    /// The requested numbers of clients, or these; in ascending order.
    pub fn clients(&self, others: &[usize]) -> Vec<usize> {
        or_else(self.clients.clone(), others)
    }

    fn check(&self) -> Result<()> {
        let idle = self.rounds == Some(0) || self.turn == Some(Duration::ZERO);
        ensure!(!idle, "one round at least, of more than no time");
        let clients = self.clients.iter().all(|n| (1..=MOST_CLIENTS).contains(n));
        ensure!(clients, "from 1 to {MOST_CLIENTS} clients");
        let growth = self.most_rows >= 1000 && self.cycles > 0;
        ensure!(growth, "a thousand rows and one cycle at least");
        let jobs = self.jobs > 0 && self.jobs.is_multiple_of(100);
        ensure!(jobs, "a multiple of a hundred jobs");
        let crashed = self.crashed > 0 && self.crashed.is_multiple_of(4);
        ensure!(crashed, "a multiple of four rows of crashed services");
        Ok(())
    }
}

fn or_else<T: Clone>(asked: Vec<T>, others: &[T]) -> Vec<T> {
    if asked.is_empty() { others.to_vec() } else { asked }
}

fn part(text: &str) -> Result<Part, String> {
    named(text, &Part::ALL, Part::name)
}

fn rival(text: &str) -> Result<Provider, String> {
    named(text, &Provider::RIVALS, Provider::name)
}

fn switch(text: &str) -> Result<bool, String> {
    named(text, &[true, false], |on| if on { "on" } else { "off" })
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn named<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|&one| name(one) == text);
    let names = all.iter().map(|&one| name(one));
    found.ok_or_else(|| format!("one of: {}", names.collect::<Vec<_>>().join(", ")))
}
