//! Debian's etcd and Redis, told to wait for the disk at each change.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use volguard_tests::Daemon;

use crate::machine;

#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    version: String,
    settings: &'static str,
}

impl Server {
    /// One member, with the default settings.
    pub fn etcd() -> Result<Server> {
        const PROGRAM: &str = "etcd";
        Server::start(PROGRAM, "one member, fsync at each change", |dir, ports| {
            let [clients, peers] = ports.map(|port| format!("http://127.0.0.1:{port}"));
            let data = dir.join("data");
            [PROGRAM, "--name", "bench", "--logger", "zap"]
                .into_iter()
                .chain(["--listen-client-urls", &clients])
                .chain(["--advertise-client-urls", &clients])
                .chain(["--listen-peer-urls", &peers])
                .chain(["--initial-advertise-peer-urls", &peers])
                .chain(["--initial-cluster", &format!("bench={peers}")])
                .map(Into::into)
                .chain(["--data-dir".into(), data.into()])
                .collect()
        })
    }

    pub fn redis() -> Result<Server> {
        const PROGRAM: &str = "redis-server";
        let settings = "appendonly = yes, appendfsync = always";
        Server::start(PROGRAM, settings, |dir, [port, _]| {
            [PROGRAM, "--port", &port.to_string(), "--bind", "127.0.0.1"]
                .into_iter()
                .chain(["--appendonly", "yes", "--appendfsync", "always"])
                // No snapshot and no rewrite of the log may come in the middle of a turn.
                .chain(["--auto-aof-rewrite-percentage", "0", "--save", ""])
                .map(Into::into)
                .chain(["--dir".into(), dir.into()])
                .collect()
        })
    }

    fn start(
        program: &'static str,
        settings: &'static str,
        command: impl FnOnce(&Path, [u16; 2]) -> Vec<OsString>,
    ) -> Result<Server> {
        Ok(Server { version: machine::version_of(program)?, daemon: Daemon::start(program, command)?, settings })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.daemon.port())
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    pub fn describe(&self) -> String {
        let version = self.version.split(" sha").next().unwrap_or_default();
        format!("{version}, {}", self.settings)
    }
}
