//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::locks::Contender;
use crate::rounds::Pace;
use crate::{locks, stage};

pub const HELP: &str = "\
volguard-bench [updates] [locks] [growth] [cleanup] [work] [options]

  updates         conditional_update beside the same update by hand
  locks           acquire and release beside SQL by hand, advisory locks, etcd and Redis
  growth          acquire and release with ever more rows, after many cycles, among many services
  cleanup         what crashed services have left, cleaned up at once, by bare SQL and row by row
  work            whole operations: start_work and finish_work beside the four separate calls, and beside SQL by hand
                  (updates and locks, if none is named)

  --rounds N      how often everybody takes a turn (5, cleanup 3)
  --seconds S     how long one turn takes (2, locks 1.5)
  --clients N     how many at once; several times for several numbers (1 and 16, locks 1, 4, 16, 64)
  --fsync on|off  whether Postgres' commits wait for the disk (on)
  --out DIR       where the files of `locks` and `growth` go (target/bench)

  --against NAME  locks: only beside these: hand, advisory, etcd, redis; several times for several

  --most-rows N   growth: the largest number of rows (1000000); ten million take some minutes to fill in
  --cycles N      growth: how many times a lock was taken and released before (300000)

  --crashed N     cleanup: rows of crashed services, a multiple of four (100000)

It starts servers of its own, and so does nothing with DATABASE_URL: their settings are part of what is compared, and
the server's processor time is read on this machine. VOLGUARD_PACKAGE names a build of the extension and saves making one.
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Updates,
    Locks,
    Growth,
    Cleanup,
    Work,
}

#[derive(Debug)]
pub struct Options {
    pub parts: Vec<Part>,
    rounds: Option<usize>,
    turn: Option<Duration>,
    clients: Vec<usize>,
    pub fsync: bool,
    pub out: PathBuf,
    pub against: Vec<Contender>,
    pub most_rows: u32,
    pub cycles: u64,
    pub crashed: u32,
}

impl Options {
    /// `None` if it is the help that is asked for.
    pub fn from_args() -> Result<Option<Options>> {
        let mut options = Options {
            parts: Vec::new(),
            rounds: None,
            turn: None,
            clients: Vec::new(),
            fsync: true,
            out: PathBuf::from("target/bench"),
            against: Vec::new(),
            most_rows: 1_000_000,
            cycles: 300_000,
            crashed: 100_000,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Value(name) => options.parts.push(name.parse_with(part)?),
                Long("rounds") => options.rounds = Some(args.value()?.parse()?),
                Long("seconds") => {
                    let seconds = args.value()?.parse()?;
                    options.turn = Some(Duration::try_from_secs_f64(seconds)?);
                }
                Long("clients") => options.clients.push(args.value()?.parse()?),
                Long("fsync") => options.fsync = args.value()?.parse_with(switch)?,
                Long("out") => options.out = args.value()?.into(),
                Long("against") => options.against.push(args.value()?.parse_with(rival)?),
                Long("most-rows") => options.most_rows = args.value()?.parse()?,
                Long("cycles") => options.cycles = args.value()?.parse()?,
                Long("crashed") => options.crashed = args.value()?.parse()?,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(arg.unexpected().into()),
            }
        }
        if options.parts.is_empty() {
            options.parts = vec![Part::Updates, Part::Locks];
        }
        if options.against.is_empty() {
            options.against = Contender::RIVALS.to_vec();
        }
        options.clients.sort_unstable();
        options.check()?;
        Ok(Some(options))
    }

    /// The rounds asked for, or else these.
    pub fn pace(&self, rounds: usize, seconds: f64) -> Pace {
        Pace {
            rounds: self.rounds.unwrap_or(rounds),
            turn: self.turn.unwrap_or(Duration::from_secs_f64(seconds)),
        }
    }

    /// The numbers of clients asked for, or else these.
    pub fn clients(&self, or_else: &[usize]) -> Vec<usize> {
        if self.clients.is_empty() {
            return or_else.to_vec();
        }
        self.clients.clone()
    }

    fn check(&self) -> Result<()> {
        if self.rounds == Some(0) || self.turn.is_some_and(|turn| turn.is_zero()) {
            bail!("one round at least, of more than no time");
        }
        let most = self.parts.iter().map(|part| match part {
            Part::Updates | Part::Work => stage::MOST_CLIENTS,
            // A cleanup has no clients.
            Part::Locks | Part::Growth | Part::Cleanup => locks::MOST_CLIENTS,
        });
        let most = most.min().unwrap_or(1);
        if !self.clients.iter().all(|n| (1..=most).contains(n)) {
            bail!("from 1 to {most} clients");
        }
        if self.most_rows < 1000 || self.cycles == 0 {
            bail!("a thousand rows and one cycle at least");
        }
        if self.crashed == 0 || !self.crashed.is_multiple_of(4) {
            bail!("a multiple of four rows of crashed services");
        }
        Ok(())
    }
}

fn part(text: &str) -> Result<Part, &'static str> {
    match text {
        "updates" => Ok(Part::Updates),
        "locks" => Ok(Part::Locks),
        "growth" => Ok(Part::Growth),
        "cleanup" => Ok(Part::Cleanup),
        "work" => Ok(Part::Work),
        _ => Err("updates, locks, growth, cleanup or work"),
    }
}

fn rival(text: &str) -> Result<Contender, &'static str> {
    let named = |rival: &Contender| rival.name() == text;
    let rival = Contender::RIVALS.into_iter().find(named);
    rival.ok_or("hand, advisory, etcd or redis")
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off"),
    }
}
