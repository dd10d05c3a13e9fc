//! Debian's etcd: one member, which waits for the disk at every change, as it does unless told otherwise.

use anyhow::Result;
use volguard_tests::Daemon;

use crate::machine;

const PROGRAM: &str = "etcd";

#[derive(Debug)]
pub struct Etcd {
    daemon: Daemon,
    version: String,
}

impl Etcd {
    pub fn start() -> Result<Etcd> {
        let version = machine::version_of(PROGRAM)?;
        let daemon = Daemon::start(PROGRAM, |dir, [port, peers]| {
            let (clients, peers) = (
                format!("http://127.0.0.1:{port}"),
                format!("http://127.0.0.1:{peers}"),
            );
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
        })?;
        Ok(Etcd { daemon, version })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.daemon.port())
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    pub fn describe(&self) -> String {
        format!("{}, one member, fsync at every change", self.version)
    }
}
