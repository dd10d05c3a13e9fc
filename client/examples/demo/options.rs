//! The command line.

use std::path::PathBuf;

use anyhow::Result;
use lexopt::prelude::*;
use serde::{Deserialize, Serialize};

pub const USAGE: &str = "\
usage: demo [options]

Runs three volume managers as processes over one shared directory, and an API whose users keep them busy. Kills two
managers, pauses the third one beyond its lease, and has the outcome checked. DATABASE_URL names the database, which
must have the extension volguard. Connect directly: a pooler in transaction mode passes no notifications on.

  --operations N     how many operations the users ask for (400)
  --seed N           of what they ask for
  --verbose          print every change of a status
  --break WHAT       take a guard away and see the check fail: storage-fence or lock
  --help             this text";

/// The variable with which the director starts this program as a manager: its [`Post`], as JSON.
pub const MANAGER: &str = "VOLGUARD_DEMO_MANAGER";

#[derive(Clone, Debug)]
pub struct Plan {
    pub operations: u64,
    pub seed: u64,
    pub verbose: bool,
    pub broken: Option<Guard>,
}

/// What a manager process has to know: see [`MANAGER`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Post {
    pub name: String,
    pub directory: PathBuf,
    pub broken: Option<Guard>,
    /// The director's process id: the manager does not outlive it.
    pub director: i32,
    /// When the demo began, by the clock that all processes share.
    pub began: u64,
}

/// A guard that `--break` takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// The storage takes writes under any token.
    StorageFence,
    /// Managers don't exclude each other.
    Lock,
}

impl Plan {
    /// Nothing, if only help was asked for.
    pub fn from_command_line() -> Result<Option<Plan>> {
        let mut parser = lexopt::Parser::from_env();
        let mut plan = Plan { operations: 400, seed: fastrand::u64(0..1_000_000), verbose: false, broken: None };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("operations") => plan.operations = parser.value()?.parse()?,
                Long("seed") => plan.seed = parser.value()?.parse()?,
                Long("verbose") => plan.verbose = true,
                Long("break") => {
                    let guard = parser.value()?.string()?;
                    plan.broken = Some(serde_json::from_value(guard.into())?);
                }
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Some(plan))
    }
}
