//! Debian's Redis, told to write every change to its log and to wait for the disk.

use anyhow::Result;
use volguard_tests::Daemon;

use crate::machine;

const PROGRAM: &str = "redis-server";
/// No snapshot and no rewriting of the log is to come in the middle of a turn.
const SETTINGS: [&str; 10] = [
    "--bind",
    "127.0.0.1",
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--auto-aof-rewrite-percentage",
    "0",
    "--save",
    "",
];

#[derive(Debug)]
pub struct Redis {
    daemon: Daemon,
    version: String,
}

impl Redis {
    pub fn start() -> Result<Redis> {
        let version = machine::version_of(PROGRAM)?;
        let daemon = Daemon::start(PROGRAM, |dir, [port, _]| {
            [PROGRAM, "--port", &port.to_string()]
                .into_iter()
                .chain(SETTINGS)
                .map(Into::into)
                .chain(["--dir".into(), dir.into()])
                .collect()
        })?;
        Ok(Redis { daemon, version })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.daemon.port())
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    pub fn describe(&self) -> String {
        let version = self.version.split(" sha").next().unwrap_or_default();
        format!("{version}, appendonly = yes, appendfsync = always")
    }
}
