//! Debian's etcd, Redis and RabbitMQ, told to wait for the disk at each change.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use volguard_tests::Daemon;

use crate::machine;

#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    /// The name service of Erlang, for a server that is written in it.
    _names: Option<Daemon>,
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

    /// One node with a quorum queue. It waits for the disk before it confirms a message that is to be kept.
    pub fn rabbitmq() -> Result<Server> {
        const PROGRAMS: &str = "/usr/lib/rabbitmq/lib";
        let home = std::fs::read_dir(PROGRAMS).ok().and_then(|mut homes| homes.next());
        let home = home.context("RabbitMQ is not installed; `make bench` installs it")??.path();
        let version = home.file_name().unwrap_or_default().to_string_lossy().replace("rabbitmq_server-", "RabbitMQ ");
        let names = Daemon::start("epmd", |_, [port, _]| {
            ["epmd", "-port", &port.to_string(), "-address", "127.0.0.1"].map(OsString::from).into()
        })?;
        let daemon = Daemon::start("rabbitmq-server", |dir, ports| {
            let [clients, nodes] = ports.map(|port| port.to_string());
            let in_dir = |name: &str| dir.join(name).display().to_string();
            let settings = [
                ("HOME", in_dir("")),
                // Without it the script stays between us and the server.
                ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
                ("ERL_EPMD_PORT", names.port().to_string()),
                ("RABBITMQ_NODENAME", "bench@localhost".to_owned()),
                ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
                ("RABBITMQ_NODE_PORT", clients),
                ("RABBITMQ_DIST_PORT", nodes),
                ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
                ("RABBITMQ_CONF_ENV_FILE", in_dir("no-environment")),
                ("RABBITMQ_CONFIG_FILE", in_dir("no-settings")),
                ("RABBITMQ_ENABLED_PLUGINS_FILE", in_dir("no-plugins")),
                ("RABBITMQ_MNESIA_BASE", in_dir("data")),
                ("RABBITMQ_LOG_BASE", in_dir("logs")),
            ];
            let settings = settings.map(|(name, value)| OsString::from(format!("{name}={value}")));
            let program = home.join("sbin/rabbitmq-server").into_os_string();
            std::iter::once("env".into()).chain(settings).chain([program]).collect()
        })?;
        Ok(Server { version, daemon, _names: Some(names), settings: "one node, a quorum queue, confirms" })
    }

    fn start(
        program: &'static str,
        settings: &'static str,
        command: impl FnOnce(&Path, [u16; 2]) -> Vec<OsString>,
    ) -> Result<Server> {
        Ok(Server {
            version: machine::version_of(program)?,
            daemon: Daemon::start(program, command)?,
            _names: None,
            settings,
        })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    pub fn pid(&self) -> i32 {
        self.daemon.pid()
    }

    pub fn describe(&self) -> String {
        let version = self.version.split(" sha").next().unwrap_or_default();
        format!("{version}, {}", self.settings)
    }
}
