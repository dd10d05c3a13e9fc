//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use lexopt::prelude::*;

pub const USAGE: &str = "\
usage: demo [options]

Runs volume managers as processes over one shared directory, and an API client that keeps them busy. Kills one manager,
pauses another beyond its lease, and checks the volumes' files at the end. DATABASE_URL names the database, which must have the
extension volguard; directly, because a pooler in transaction mode passes no notifications on.

  --operations N     how many operations the API asks for (400)
  --managers N       how many manager processes (3)
  --seed N           of what the API asks for
  --lease SECONDS    after how long a silent manager counts as dead (2.5)
  --latency MS       what every step on the storage takes beyond what the disk needs, about (40)
  --directory DIR    the shared directory; a temporary one unless told
  --verbose          a line for every operation
  --break WHAT       take a guard away and see the check fail: storage-fence or lock
  --help             this text";

/// What this process is.
#[derive(Debug)]
pub enum Role {
    Help,
    /// Starts the others, and injects the faults.
    Director(Plan),
    Manager(Post),
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub operations: u64,
    pub managers: usize,
    pub seed: u64,
    pub lease: Duration,
    pub latency: Duration,
    pub directory: Option<PathBuf>,
    pub verbose: bool,
    pub sabotage: Option<Sabotage>,
}

/// What a manager process has to know.
#[derive(Clone, Debug)]
pub struct Post {
    pub name: String,
    pub directory: PathBuf,
    pub lease: Duration,
    pub latency: Duration,
    pub sabotage: Option<Sabotage>,
    /// The process id of the director, which the manager does not outlive.
    pub director: i32,
}

/// A guard taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The storage takes writes under any token.
    StorageFence,
    /// Every manager has locks of its own.
    Lock,
}

impl Role {
    pub fn from_command_line() -> Result<Role> {
        let mut arguments = std::env::args_os().skip(1).peekable();
        if arguments.next_if(|first| first == "manager").is_some() {
            return Ok(Role::Manager(Post::parse(arguments)?));
        }
        Plan::parse(arguments)
    }
}

impl Plan {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Role> {
        let mut plan = Plan {
            operations: 400,
            managers: 3,
            seed: rand::random_range(0..1_000_000),
            lease: Duration::from_millis(2500),
            latency: Duration::from_millis(40),
            directory: None,
            verbose: false,
            sabotage: None,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("operations") => plan.operations = parser.value()?.parse()?,
                Long("managers") => plan.managers = parser.value()?.parse()?,
                Long("seed") => plan.seed = parser.value()?.parse()?,
                Long("lease") => {
                    plan.lease = Duration::try_from_secs_f64(parser.value()?.parse()?)?;
                }
                Long("latency") => plan.latency = millis(&mut parser)?,
                Long("directory") => plan.directory = Some(parser.value()?.into()),
                Long("verbose") => plan.verbose = true,
                Long("break") => plan.sabotage = Some(parser.value()?.parse()?),
                Long("help") | Short('h') => return Ok(Role::Help),
                other => return Err(other.unexpected().into()),
            }
        }
        ensure!(
            (2..=9).contains(&plan.managers),
            "--managers is 2 to 9: somebody has to survive"
        );
        ensure!(
            plan.lease >= Duration::from_secs(1),
            "--lease is a second at least"
        );
        Ok(Role::Director(plan))
    }
}

impl Post {
    /// The arguments that [`parse`](Post::parse) makes this of.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["manager".into()];
        let mut add = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        add("--name", self.name.clone().into());
        add("--directory", self.directory.clone().into());
        add("--lease", self.lease.as_millis().to_string().into());
        add("--latency", self.latency.as_millis().to_string().into());
        add("--director", self.director.to_string().into());
        if let Some(sabotage) = self.sabotage {
            add("--break", sabotage.to_string().into());
        }
        arguments
    }

    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Post> {
        let mut post = Post {
            name: String::new(),
            directory: PathBuf::new(),
            lease: Duration::ZERO,
            latency: Duration::ZERO,
            sabotage: None,
            director: 0,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("name") => post.name = parser.value()?.string()?,
                Long("directory") => post.directory = parser.value()?.into(),
                Long("lease") => post.lease = millis(&mut parser)?,
                Long("latency") => post.latency = millis(&mut parser)?,
                Long("director") => post.director = parser.value()?.parse()?,
                Long("break") => post.sabotage = Some(parser.value()?.parse()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(post)
    }
}

fn millis(parser: &mut lexopt::Parser) -> Result<Duration> {
    Ok(Duration::from_millis(parser.value()?.parse()?))
}

impl FromStr for Sabotage {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Sabotage> {
        match name {
            "storage-fence" => Ok(Sabotage::StorageFence),
            "lock" => Ok(Sabotage::Lock),
            other => bail!("--break takes storage-fence or lock, not {other}"),
        }
    }
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sabotage::StorageFence => "storage-fence",
            Sabotage::Lock => "lock",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_survives_the_command_line() {
        let post = Post {
            name: "manager-1".to_owned(),
            directory: "/a b/c".into(),
            lease: Duration::from_millis(2500),
            latency: Duration::from_millis(7),
            sabotage: Some(Sabotage::Lock),
            director: 99,
        };
        let parsed = Post::parse(post.arguments().into_iter().skip(1)).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{post:?}"));
    }
}
