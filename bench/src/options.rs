//! The command line.

use std::time::Duration;

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::stage::MOST_CLIENTS;

pub const HELP: &str = "\
volguard-bench [--rounds N] [--seconds S] [--clients N]... [--fsync on|off]

  --rounds N      how often the two take turns (7)
  --seconds S     how long one turn takes (4)
  --clients N     how many at once; several times for several numbers (1 and 16)
  --fsync on|off  whether commits wait for the disk (on)

It starts a server of its own, and so does nothing with DATABASE_URL: the settings are part of what is compared, and
the server's processor time is read on this machine. VOLGUARD_PACKAGE names a build of the extension and saves making one.
";

#[derive(Debug)]
pub struct Options {
    pub rounds: usize,
    pub turn: Duration,
    pub clients: Vec<usize>,
    pub fsync: bool,
}

impl Options {
    /// `None` if it is the help that is asked for.
    pub fn from_args() -> Result<Option<Options>> {
        let mut options = Options {
            rounds: 7,
            turn: Duration::from_secs(4),
            clients: Vec::new(),
            fsync: true,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("rounds") => options.rounds = args.value()?.parse()?,
                Long("seconds") => {
                    options.turn = Duration::try_from_secs_f64(args.value()?.parse()?)?;
                }
                Long("clients") => options.clients.push(args.value()?.parse()?),
                Long("fsync") => options.fsync = args.value()?.parse_with(switch)?,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(arg.unexpected().into()),
            }
        }
        if options.clients.is_empty() {
            options.clients = vec![1, 16];
        }
        options.check()?;
        Ok(Some(options))
    }

    fn check(&self) -> Result<()> {
        if self.rounds == 0 || self.turn.is_zero() {
            bail!("one round at least, of more than no time");
        }
        if !self.clients.iter().all(|n| (1..=MOST_CLIENTS).contains(n)) {
            bail!("from 1 to {MOST_CLIENTS} clients");
        }
        Ok(())
    }
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off"),
    }
}
