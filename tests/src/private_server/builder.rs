//! The settings of a private server, and its start.

use std::fmt::Write as _;
use std::fs;

use uuid::Uuid;

use super::{DATABASE, PrivateServer};
use crate::guardian::Guardian;
use crate::os_user::OsUser;
use crate::{Error, Package, PostgresInstall, Profile, run_dir};

/// The settings of a [`PrivateServer`].
#[derive(Debug, Clone, Default)]
pub struct PrivateServerBuilder {
    settings: Vec<(String, String)>,
    profile: Profile,
    bare: bool,
    clock: i64,
}

impl PrivateServerBuilder {
    /// Adds a line to `postgresql.conf`; a later one with the same name wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Whether commits wait for the disk. They do by default: durability is part of what is tested.
    #[must_use]
    pub fn durable(self, durable: bool) -> Self {
        self.setting("fsync", if durable { "on" } else { "off" })
    }

    /// The profile of the extension, if it has to be compiled.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Without the extension: its database doesn't have it, and can't create it.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// The server sees a time that is so many seconds ahead of ours.
    #[must_use]
    pub fn clock(mut self, seconds: i64) -> Self {
        self.clock = seconds;
        self
    }

    /// Creates and starts the server.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub fn start(self) -> Result<PrivateServer, Error> {
        let bare = self.bare;
        let mut server = self.prepare("initdb")?;
        server.start_on_free_port()?;
        if bare {
            server.create_empty_database(DATABASE)?;
        } else {
            server.create_database(DATABASE)?;
        }
        Ok(server)
    }

    /// Stops a server, and starts a new one with all its data, by
    /// `pg_upgrade`: to the same version, which works like any other upgrade.
    ///
    /// # Errors
    /// As [`PrivateServer::start`], and the error of `pg_upgrade`.
    pub fn start_upgraded(self, old: &mut PrivateServer) -> Result<PrivateServer, Error> {
        let mut server = self.prepare("initdb")?;
        old.stop()?;
        let data = old.guardian.dir().join("data");
        server.guardian.ask(&format!("upgrade {}", data.display()))?;
        // The upgrade copies the passwords.
        server.password.clone_from(&old.password);
        server.start_on_free_port()?;
        Ok(server)
    }

    /// Starts a standby with a copy of the data of a server that is stopped. It takes queries, and receives nothing
    /// more.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub fn start_standby(self, stopped: &PrivateServer) -> Result<PrivateServer, Error> {
        let data = stopped.guardian.dir().join("data");
        let mut server = self.prepare(&format!("copy {}", data.display()))?;
        server.password.clone_from(&stopped.password);
        server.begin_on_free_port("standby")?;
        Ok(server)
    }

    /// Creates and starts a standby of `primary`, with a copy of its data and its settings. It streams under `name`.
    ///
    /// # Errors
    /// As [`PrivateServer::start`], and the error of `pg_basebackup`.
    pub fn start_standby_of(self, primary: &PrivateServer, name: &str) -> Result<PrivateServer, Error> {
        let mut standby = self.lay_out()?;
        standby.guardian.ask(&format!("backup {}", primary.replication_source("backup")))?;
        standby.password.clone_from(&primary.password);
        standby.follow(primary, name)?;
        standby.start_on_free_port()?;
        Ok(standby)
    }

    /// Everything except the start. The guardian obeys `make_data`.
    fn prepare(self, make_data: &str) -> Result<PrivateServer, Error> {
        let mut server = self.lay_out()?;
        server.guardian.ask(make_data)?;
        Ok(server)
    }

    /// The installation and the settings, without data.
    fn lay_out(self) -> Result<PrivateServer, Error> {
        let install = PostgresInstall::find()?;
        let package = Package::from_env_or_build(&install, self.profile)?;
        let user = OsUser::for_servers()?;
        let dir = run_dir::create(user)?;
        let password = Uuid::new_v4().simple().to_string();

        let script = concat!(
            include_str!("../guardian_kill.sh"),
            include_str!("../defects.sh"),
            include_str!("../guardian_postgres.sh")
        );
        let directories =
            [install.bin_dir().as_os_str(), install.library_dir().as_os_str(), install.share_dir().as_os_str()];
        let mut guardian = Guardian::start("postgres", script, user, dir, &directories)?;
        write(&guardian, "password", &password)?;
        write(&guardian, "settings", &self.settings_file())?;
        let lay_out = if self.bare {
            "lay-out".to_owned()
        } else {
            let extension = package.readable_by(user, guardian.dir())?;
            format!("lay-out {}", extension.display())
        };
        guardian.ask(&lay_out)?;

        let mut server = PrivateServer { guardian, install, package, port: 0, password };
        server.set_clock(self.clock)?;
        Ok(server)
    }

    fn settings_file(&self) -> String {
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("max_connections", "200"),
            // A throw-away cluster needs no room for an uneventful checkpoint history, but no storm of them either.
            ("max_wal_size", "2GB"),
            ("log_line_prefix", "%m [%p] %q%u@%d %a "),
            ("log_lock_waits", "on"),
            ("timezone", "UTC"),
        ];
        let theirs = self.settings.iter().map(|(name, value)| (&**name, &**value));
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
