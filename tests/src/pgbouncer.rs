//! Debian's PgBouncer in front of a server.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;

use tokio_postgres::config::{Config, Host};

use crate::guardian::Guardian;
use crate::os_user::OsUser;
use crate::{Error, PostgresInstall, port, run_dir};

/// A PgBouncer in transaction mode on a port of 127.0.0.1, stopped when this value is dropped or its process ends.
///
/// Any role of the server can log in with its own password; PgBouncer looks it up as the user of the URL it was
/// started with, who must be a superuser.
#[derive(Debug)]
pub struct PgBouncer {
    guardian: Guardian,
    port: u16,
    user: String,
    password: String,
    database: String,
}

impl PgBouncer {
    /// Starts a pooler in front of the server of `url`, for all its databases.
    ///
    /// # Errors
    /// [`Error::Url`] if the URL names no host, user, password or database.
    /// [`Error::Server`] if PgBouncer does not start.
    pub fn in_front_of(url: &str) -> Result<Self, Error> {
        Self::with_pools(url, &[])
    }

    /// The same, with other names for the database of `url`, each with a pool of so many connections for each role.
    ///
    /// # Errors
    /// As [`PgBouncer::in_front_of`].
    pub fn with_pools(url: &str, pools: &[(&str, usize)]) -> Result<Self, Error> {
        let server: Config = url.parse().map_err(|error| Error::Url(format!("{error}")))?;
        let install = PostgresInstall::find()?;
        let user = OsUser::for_servers()?;
        let port = port::free()?;
        let script = include_str!("guardian_pgbouncer.sh");
        let bin_dir: &OsStr = install.bin_dir().as_os_str();
        let guardian = Guardian::start("pgbouncer", script, user, run_dir::create(user)?, &[bin_dir])?;

        let mut pooler = Self {
            guardian,
            port,
            user: part("user", server.get_user())?.to_owned(),
            password: password(&server)?,
            database: part("database", server.get_dbname())?.to_owned(),
        };
        pooler.write("userlist.txt", &format!("\"{}\" \"{}\"\n", pooler.user, pooler.password))?;
        pooler.write("pgbouncer.ini", &pooler.ini(&server, pools)?)?;
        pooler.guardian.ask(&format!("start {port}"))?;
        Ok(pooler)
    }

    /// The URL of the same database and user, through the pooler.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(&self.database)
    }

    /// The URL of the pooler's own database, which answers `SHOW CLIENTS` and the like.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.url_of("pgbouncer")
    }

    fn url_of(&self, database: &str) -> String {
        let Self { user, password, port, .. } = self;
        format!("postgresql://{user}:{password}@127.0.0.1:{port}/{database}")
    }

    /// The pooler's TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn ini(&self, server: &Config, pools: &[(&str, usize)]) -> Result<String, Error> {
        let host = host(server)?;
        let mut aliases = String::new();
        let server_port = server.get_ports().first().copied().unwrap_or(5432);
        let Self { user, port, database, .. } = self;
        for (alias, size) in pools {
            let to = format!("host={host} port={server_port} dbname={database}");
            writeln!(aliases, "{alias} = {to} pool_size={size}").expect("writing to a String");
        }
        Ok(format!(
            "[databases]\n\
             {aliases}\
             * = host={host} port={server_port}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             pool_mode = transaction\n\
             default_pool_size = 40\n\
             max_client_conn = 500\n\
             server_login_retry = 1\n\
             auth_type = scram-sha-256\n\
             auth_file = userlist.txt\n\
             auth_user = {user}\n\
             admin_users = {user}\n\
             ignore_startup_parameters = extra_float_digits\n"
        ))
    }

    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.guardian.dir().join(name);
        fs::write(&path, content).map_err(Error::file(&path))
    }
}

fn part<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Error> {
    value.ok_or_else(|| Error::Url(format!("PgBouncer needs a {name} in it")))
}

fn password(server: &Config) -> Result<String, Error> {
    let bytes = server.get_password().map(String::from_utf8_lossy);
    Ok(part("password", bytes.as_deref())?.to_owned())
}

fn host(server: &Config) -> Result<String, Error> {
    match server.get_hosts().first() {
        Some(Host::Tcp(name)) => Ok(name.clone()),
        Some(Host::Unix(dir)) => Ok(dir.to_string_lossy().into_owned()),
        None => Err(Error::Url("PgBouncer needs a host in it".into())),
    }
}
