//! What the command line says.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::time::Duration;

const CODES: &str = "\
Exit codes:
  0         done; of `lock`: the command's code, or 128 + n if signal n ended the command
  126, 127  the command could not be run; it was not found
  1         `free`: no service held the lock
  112       busy: the lock was not free in time
  113       lost: the lock could not be relied on any more; the command was ended, or not run
  114       unreachable: the database can't be reached, or can't serve just now
  115       refused by the database
  116       usage
  117       an error of the operating system
With each code of its own, volguard writes a line to stderr.";

const DATABASE: &str = "\
The database: --url, or the variable DATABASE_URL; what these lack, or all of it, from PGHOST, PGPORT, PGUSER, \
PGPASSWORD, PGDATABASE, PGSSLMODE and so on, as libpq names them.";

/// Locks, services and work of volguard: commands under a lock, and what goes on, live.
#[derive(Debug, Parser)]
#[command(name = "volguard", version, max_term_width = 100, after_help = DATABASE, after_long_help = format!("{DATABASE}\n\n{CODES}"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Database {
    /// Where the database is: postgresql://… or `host=… user=…`. Others see the arguments of a process, so leave
    /// passwords to DATABASE_URL or PGPASSWORD.
    #[arg(long, global = true, value_name = "URL", help_heading = "Database")]
    pub(crate) url: Option<String>,
    /// The connection leads through a pooler in transaction mode.
    #[arg(long, global = true, help_heading = "Database")]
    pub(crate) pooled: bool,
    /// A file with the certificates to trust (PEM), in place of those of the system.
    #[cfg(feature = "tls")]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Database")]
    pub(crate) root_certificates: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command under a lock, and end it before the lock could pass to another holder.
    #[command(after_help = CODES)]
    Lock(Lock),
    /// Show clusters, services and locks.
    Status(Shown),
    /// Say who holds a lock, who waits for it, and what can be done.
    Who(Who),
    /// Show who waits for what.
    Waiters(Shown),
    /// Show what happened to services and locks without their holders.
    Events(Events),
    /// Take a lock away from its holder, whether it lives or not (operators only).
    Free(Free),
    /// Clean up after dead services: free their locks, and repair their work by its crash rules.
    Cleanup(Cleanup),
    /// Watch all of it on a live screen.
    Top(Top),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Lock {
    #[command(flatten)]
    pub(crate) resource: Resource,
    /// How long to wait until the lock is free, such as 500ms, 30s, 5m, 1h. Default: not at all.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s", hide_default_value = true)]
    pub(crate) wait: Duration,
    /// How long the server waits for a sign of life before the lock is free for others. Default: the server's
    /// `volguard.service_down_time`, which is 60s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) lease: Option<Duration>,
    /// How long the command may take to end after SIGTERM, before SIGKILL. It is a part of the lease, four tenths at
    /// most. Default: a quarter of the lease.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// The cluster to register in.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) cluster: String,
    /// The name of this host, which others see as the holder's. Default: the machine's.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// The command and its arguments. It gets the token of the lock as VOLGUARD_TOKEN.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// What is locked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Resource {
    /// The resource: its type, a slash, its id.
    #[arg(value_name = "TYPE/ID", value_parser = type_and_id)]
    pub(crate) resource: (String, String),
    /// The name of the lock, for a resource with several locks.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) lock_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Print JSON, with all columns.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Who {
    #[command(flatten)]
    pub(crate) resource: Resource,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// How many of the latest events to show.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(crate) last: u32,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Free {
    #[command(flatten)]
    pub(crate) resource: Resource,
    /// Why, for the event log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Cleanup {
    /// Only services of this cluster.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Only services on this host.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Only this service.
    #[arg(long, value_name = "ID")]
    pub(crate) service: Option<i64>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The pause between two looks at the database.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    pub(crate) interval: Duration,
    /// Show only rows with this text in them.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,
}

fn type_and_id(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok((kind.to_owned(), id.to_owned())),
        _ => Err("a type, a slash and an id, such as volume/v-17".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let told = || "a number with its unit, such as 500ms, 30s, 5m or 1h".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(told)?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(told()),
    };
    let number: f64 = number.parse().map_err(|_| told())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| told())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let read = ["500ms", "30s", "1.5m", "2h", "1d"].map(|text| duration(text).unwrap().as_millis());
        assert_eq!(read, [500, 30_000, 90_000, 7_200_000, 86_400_000]);
        for text in ["", "30", "s", "3x", "-1s", "1.2.3s", "99999999999999999999d"] {
            duration(text).unwrap_err();
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        assert_eq!(type_and_id("volume/a/b"), Ok(("volume".to_owned(), "a/b".to_owned())));
        type_and_id("volume").unwrap_err();
    }
}
