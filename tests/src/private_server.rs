//! A throw-away Postgres cluster with the extension in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guardian::Guardian;
use crate::os_user::run;
use crate::{Error, Package, PostgresInstall, faketime, port};

mod builder;
mod replication;

pub use builder::PrivateServerBuilder;

const DATABASE: &str = "volguard";
/// How often to try again: another process can take the chosen port before the server does.
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

impl PrivateServer {
    /// A server with the usual settings; see [`PrivateServer::builder`] for others.
    ///
    /// # Errors
    /// Postgres is not installed, the extension does not compile, there is no place or no port.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// A builder for a server with other settings.
    #[must_use]
    pub fn builder() -> PrivateServerBuilder {
        PrivateServerBuilder::default()
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

    /// The directory of this server's own copy of the programs of Postgres.
    #[must_use]
    pub fn bin_dir(&self) -> PathBuf {
        let below_root = self.install.bin_dir().strip_prefix("/").unwrap_or(self.install.bin_dir());
        self.guardian.dir().join("installation").join(below_root)
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

    /// Keeps the log when the server ends, as a failed step or a panic does by itself.
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
        let mut psql = self.tool("psql", database);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        run(&mut psql)
    }

    /// Runs a script of `psql` as superuser, in one session: its own commands and variables work, each statement is a
    /// transaction. The rows come back as from [`psql`](Self::psql).
    ///
    /// # Errors
    /// As [`psql`](Self::psql), with the line of the script.
    pub fn psql_script(&self, database: &str, script: &str) -> Result<String, Error> {
        let file = self.guardian.dir().join(format!("{database}.sql"));
        std::fs::write(&file, script).map_err(Error::file(&file))?;
        self.psql_in(database, &format!("\\i '{}'", file.display()))
    }

    /// Dumps a database with `pg_dump` and its options, into a file that is removed with the server.
    ///
    /// # Errors
    /// [`Error::Failed`] with the output of pg_dump.
    pub fn dump(&self, database: &str, options: &[&str]) -> Result<PathBuf, Error> {
        let file = self.guardian.dir().join(format!("{database}.dump"));
        let mut pg_dump = self.tool("pg_dump", database);
        pg_dump.args(["--format=custom", "--file"]).arg(&file);
        run(pg_dump.args(options))?;
        Ok(file)
    }

    /// Restores a dump into a database with `pg_restore` and its options; stops at the first error.
    ///
    /// # Errors
    /// [`Error::Failed`] with the output of pg_restore.
    pub fn restore(&self, dump: &Path, database: &str, options: &[&str]) -> Result<(), Error> {
        let mut pg_restore = self.tool("pg_restore", database);
        run(pg_restore.arg("--exit-on-error").args(options).arg(dump)).map(drop)
    }

    /// A program of the installation that connects as superuser, through the socket.
    fn tool(&self, program: &str, database: &str) -> Command {
        let mut tool = Command::new(self.install.bin_dir().join(program));
        tool.args(["-U", "postgres", "-d", database, "-h"]).arg(self.socket_dir()).args(["-p", &self.port.to_string()]);
        tool
    }

    /// Creates a database with the extension in it and returns the superuser's URL of it.
    ///
    /// # Errors
    /// [`Error::Failed`] if it exists.
    pub fn create_database(&self, name: &str) -> Result<String, Error> {
        self.create_empty_database(name)?;
        self.psql_in(name, "CREATE EXTENSION volguard")?;
        Ok(self.url_of(name))
    }

    fn create_empty_database(&self, name: &str) -> Result<(), Error> {
        self.psql_in("postgres", &format!("CREATE DATABASE \"{name}\"")).map(drop)
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

    /// Copies the data of the stopped server aside.
    ///
    /// # Errors
    /// [`Error::Server`] if it fails.
    pub fn keep_data(&mut self) -> Result<(), Error> {
        self.guardian.ask("keep-data")
    }

    /// Puts the data of the stopped server back to what was copied aside.
    ///
    /// # Errors
    /// [`Error::Server`] if it fails.
    pub fn put_data_back(&mut self) -> Result<(), Error> {
        self.guardian.ask("put-data-back")
    }

    /// From its next start the server sees a time that is so many seconds ahead of ours.
    ///
    /// # Errors
    /// [`Error::NoFakeTime`] if the library is missing.
    pub fn set_clock(&mut self, seconds: i64) -> Result<(), Error> {
        let environment = match seconds {
            0 => String::new(),
            _ => faketime::environment(seconds)?,
        };
        self.guardian.ask(&format!("clock {environment}"))
    }

    /// Restarts the running server as a hot standby, one that hears nothing from its primary.
    ///
    /// # Errors
    /// [`Error::Server`] if a step fails.
    pub fn stand_by(&mut self) -> Result<(), Error> {
        let verb = format!("stand-by {}", self.port);
        self.guardian.ask(&verb)
    }

    fn start_on_free_port(&mut self) -> Result<(), Error> {
        self.begin_on_free_port("start")
    }

    /// By one of the guardian's two ways to start.
    fn begin_on_free_port(&mut self, verb: &str) -> Result<(), Error> {
        for _ in 1..PORT_ATTEMPTS {
            self.port = port::free()?;
            match self.guardian.ask(&format!("{verb} {}", self.port)) {
                Err(Error::Server { tail, .. }) if tail.contains("Address already in use") => {}
                result => return result,
            }
        }
        self.port = port::free()?;
        self.guardian.ask(&format!("{verb} {}", self.port))
    }
}
