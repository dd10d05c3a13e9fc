//! A Postgres that is run by Patroni.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::guardian::Guardian;
use crate::os_user::OsUser;
use crate::{Error, port, run_dir, workspace};

/// One member of a cluster, stopped with its Postgres when this value is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct Patroni {
    guardian: Guardian,
    port: u16,
    api: u16,
}

/// What the members of a cluster have in common.
#[derive(Debug, Clone)]
pub struct PatroniOptions {
    /// The port of etcd on 127.0.0.1.
    pub etcd: u16,
    /// The directory of the programs of Postgres, in which the extension has been laid out.
    pub bin_dir: PathBuf,
    /// The superuser's password.
    pub password: String,
    /// Settings of Postgres.
    pub settings: Vec<(&'static str, &'static str)>,
}

/// The Patroni that `tests/setup.sh drill` installs.
fn program() -> PathBuf {
    workspace::target().join("patroni/bin/patroni")
}

impl Patroni {
    /// Starts a member. The first one makes a cluster; the others copy its data. Returns at once: neither answers yet.
    ///
    /// # Errors
    /// [`Error::Spawn`] if Patroni is not installed.
    pub fn start(name: &str, options: &PatroniOptions) -> Result<Self, Error> {
        let program = program();
        if let Err(source) = fs::metadata(&program) {
            return Err(Error::Spawn { program: program.display().to_string(), source });
        }
        let user = OsUser::for_servers()?;
        let dir = run_dir::create(user)?;
        let (port, api) = (port::free()?, port::free()?);
        let configuration = dir.join("patroni.yml");
        // YAML has JSON in it.
        let text = configure(name, &dir, [port, api], options).to_string();
        fs::write(&configuration, text).map_err(Error::file(&configuration))?;
        let script = concat!(include_str!("guardian_kill.sh"), include_str!("guardian_patroni.sh"));
        let command: [&OsStr; 2] = [program.as_ref(), configuration.as_ref()];
        let mut patroni = Self { guardian: Guardian::start("patroni", script, user, dir, &command)?, port, api };
        patroni.start_again()?;
        Ok(patroni)
    }

    /// Starts it after [`kill`](Self::kill). Patroni makes a standby of what was a primary.
    ///
    /// # Errors
    /// [`Error::Server`] if it does not start.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.guardian.ask("start")
    }

    /// Ends Patroni and its Postgres by SIGKILL, as a power failure does.
    ///
    /// # Errors
    /// [`Error::Server`] if they do not run.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.guardian.ask("kill")
    }

    /// Checks that Patroni has not given up.
    ///
    /// # Errors
    /// [`Error::Server`] with the end of its log.
    pub fn must_be_alive(&mut self) -> Result<(), Error> {
        self.guardian.ask("alive")
    }

    /// The TCP port of its Postgres.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP port of its REST API.
    #[must_use]
    pub fn api(&self) -> u16 {
        self.api
    }
}

fn configure(name: &str, dir: &Path, ports: [u16; 2], options: &PatroniOptions) -> Value {
    let PatroniOptions { etcd, bin_dir, password, settings } = options;
    let [postgres, api] = ports.map(|port| format!("127.0.0.1:{port}"));
    let settings: serde_json::Map<String, Value> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let superuser = json!({ "username": "postgres", "password": password });
    json!({
        "scope": "volguard",
        "name": name,
        "restapi": { "listen": api, "connect_address": api },
        "etcd3": { "host": format!("127.0.0.1:{etcd}") },
        "bootstrap": {
            "dcs": {
                // The defaults of Patroni, but for the loop, which sees sooner that the time to live is over.
                "ttl": 30,
                "loop_wait": 2,
                "retry_timeout": 10,
                "synchronous_mode": true,
                "check_timeline": true,
                // A primary that has crashed is replaced, not restarted.
                "primary_start_timeout": 0,
                "postgresql": { "use_pg_rewind": true, "parameters": settings },
            },
            "initdb": [
                { "encoding": "UTF8" }, { "locale": "C" }, { "auth-local": "trust" }, { "auth-host": "scram-sha-256" },
            ],
        },
        "postgresql": {
            "listen": postgres,
            "connect_address": postgres,
            "data_dir": dir.join("data"),
            "bin_dir": bin_dir,
            "pgpass": dir.join("pgpass"),
            "authentication": { "superuser": superuser, "replication": superuser, "rewind": superuser },
            "parameters": { "unix_socket_directories": dir },
            "pg_hba": [
                "local all all trust",
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication all 127.0.0.1/32 scram-sha-256",
            ],
        },
    })
}
