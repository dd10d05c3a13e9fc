//! A throw-away Postgres cluster with the extension in it.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use uuid::Uuid;

use crate::guardian::Guardian;
use crate::os_user::{OsUser, run};
use crate::{Error, Package, PostgresInstall, Profile, port, run_dir};

const DATABASE: &str = "volguard";
/// Another process can take the chosen port before the server does.
const PORT_ATTEMPTS: usize = 5;

/// A private Postgres, stopped and removed when this value is dropped or its process ends, however it ends.
///
/// It has one superuser, `postgres`, and a database `volguard` with the extension in it. Its Unix socket lies in a
/// directory closed to other users and asks for no password; TCP on 127.0.0.1 asks for one, which [`url`](Self::url)
/// contains. After a failing test or a failed step the log stays where [`log`](Self::log) says.
#[derive(Debug)]
pub struct PrivateServer {
    guardian: Guardian,
    install: PostgresInstall,
    package: Package,
    port: u16,
    password: String,
}

/// What a [`PrivateServer`] is to be like.
#[derive(Debug, Clone)]
pub struct PrivateServerBuilder {
    settings: Vec<(String, String)>,
    profile: Profile,
}

impl PrivateServer {
    /// A server with the usual settings; see [`PrivateServer::builder`] for others.
    ///
    /// # Errors
    /// What stands in its way: Postgres not installed, an extension that does not compile, no place, no port.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// A server with settings of your own.
    #[must_use]
    pub fn builder() -> PrivateServerBuilder {
        PrivateServerBuilder {
            settings: Vec::new(),
            profile: Profile::default(),
        }
    }

    /// The superuser's URL of the database `volguard`, by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// The superuser's URL of any database, by TCP.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let Self { password, port, .. } = self;
        format!("postgresql://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    /// The TCP port on 127.0.0.1; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket, as `PGHOST` takes it.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.guardian.dir().join("socket")
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.guardian.log()
    }

    /// The package that the server loads the extension from.
    #[must_use]
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Leaves the log behind when the server goes, as a failed step or a panic does by itself.
    pub fn keep_log(&mut self) {
        self.guardian.keep_log();
    }

    /// Runs SQL as superuser in the database `volguard` through `psql`; the rows come back unaligned, `|` between
    /// the columns. Several statements in one string are one transaction.
    ///
    /// # Errors
    /// [`Error::Failed`] with what the server reported, at the first statement that fails.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.psql_in(DATABASE, sql)
    }

    /// As [`psql`](Self::psql), in any database.
    ///
    /// # Errors
    /// As [`psql`](Self::psql).
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String, Error> {
        let mut psql = Command::new(self.install.bin_dir().join("psql"));
        psql.args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-h",
        ])
        .arg(self.socket_dir())
        .args(["-p", &self.port.to_string(), "-c", sql]);
        run(&mut psql)
    }

    /// Creates a database with the extension in it and returns the superuser's URL of it.
    ///
    /// # Errors
    /// [`Error::Failed`] if it exists.
    pub fn create_database(&self, name: &str) -> Result<String, Error> {
        self.psql_in("postgres", &format!("CREATE DATABASE \"{name}\""))?;
        self.psql_in(name, "CREATE EXTENSION volguard")?;
        Ok(self.url_of(name))
    }

    /// Stops the server as an orderly shutdown does; [`restart`](Self::restart) brings it back.
    ///
    /// # Errors
    /// [`Error::Server`] if it does not stop.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.guardian.ask("stop")
    }

    /// Stops the server as a power failure does: nothing is flushed, and the next start recovers from the log.
    ///
    /// # Errors
    /// [`Error::Server`] if it does not stop.
    pub fn crash(&mut self) -> Result<(), Error> {
        self.guardian.ask("crash")
    }

    /// Starts the server again after [`stop`](Self::stop) or [`crash`](Self::crash), on the same port.
    ///
    /// # Errors
    /// [`Error::Server`] if it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        let start = format!("start {}", self.port);
        self.guardian.ask(&start)
    }

    /// Restarts the running server as a promoted standby, so that it goes on with the next timeline.
    ///
    /// # Errors
    /// [`Error::Server`] if a step fails.
    pub fn new_timeline(&mut self) -> Result<(), Error> {
        let verb = format!("new-timeline {}", self.port);
        self.guardian.ask(&verb)
    }

    fn start_on_free_port(&mut self) -> Result<(), Error> {
        for _ in 1..PORT_ATTEMPTS {
            self.port = port::free()?;
            match self.restart() {
                Err(Error::Server { tail, .. }) if tail.contains("Address already in use") => {}
                result => return result,
            }
        }
        self.port = port::free()?;
        self.restart()
    }
}

impl PrivateServerBuilder {
    /// Adds a line to `postgresql.conf`; a later one of the same name wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Whether commits wait for the disk. They do unless told otherwise: durability is part of what is tested.
    #[must_use]
    pub fn durable(self, durable: bool) -> Self {
        self.setting("fsync", if durable { "on" } else { "off" })
    }

    /// How the extension is compiled, if it has to be.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Makes and starts the server.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub fn start(self) -> Result<PrivateServer, Error> {
        let install = PostgresInstall::find()?;
        let package = Package::from_env_or_build(&install, self.profile)?;
        let user = OsUser::for_servers()?;
        let dir = run_dir::create(user)?;
        let password = Uuid::new_v4().simple().to_string();

        let script = include_str!("guardian_postgres.sh");
        let guardian = Guardian::start(
            "postgres",
            script,
            user,
            dir,
            &[install.bin_dir().as_os_str()],
        )?;
        write(&guardian, "password", &password)?;
        let extension = package.readable_by(user, guardian.dir())?;
        write(
            &guardian,
            "settings",
            &self.settings_file(&guardian, &extension.to_string_lossy()),
        )?;

        let mut server = PrivateServer {
            guardian,
            install,
            package,
            port: 0,
            password,
        };
        server.guardian.ask("initdb")?;
        server.start_on_free_port()?;
        server.create_database(DATABASE)?;
        Ok(server)
    }

    fn settings_file(&self, guardian: &Guardian, extension: &str) -> String {
        let socket = guardian.dir().join("socket");
        let socket = socket.to_string_lossy();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &*socket),
            ("extension_destdir", extension),
            ("max_connections", "200"),
            // A throw-away cluster needs no room for an uneventful checkpoint history, but no storm of them either.
            ("max_wal_size", "2GB"),
            ("log_line_prefix", "%m [%p] %q%u@%d %a "),
            ("log_lock_waits", "on"),
            ("timezone", "UTC"),
        ];
        let theirs = self
            .settings
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let mut file = String::new();
        for (name, value) in ours.into_iter().chain(theirs) {
            let value = value.replace('\'', "''");
            writeln!(file, "{name} = '{value}'").expect("writing to a String");
        }
        file
    }
}

fn write(guardian: &Guardian, name: &str, content: &str) -> Result<(), Error> {
    let path = guardian.dir().join(name);
    fs::write(&path, content).map_err(Error::file(&path))
}
