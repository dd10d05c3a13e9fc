//! Any server that stays in the foreground and listens on TCP.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::guardian::Guardian;
use crate::os_user::OsUser;
use crate::{Error, port, run_dir};

/// A server on a port of 127.0.0.1, stopped when this value is dropped or its process ends, however it ends. It runs
/// as the same user as [`PrivateServer`](crate::PrivateServer), in a directory of its own, which goes with it.
#[derive(Debug)]
pub struct Daemon {
    guardian: Guardian,
    port: u16,
    pid: i32,
}

impl Daemon {
    /// Runs the command that `command` makes of the directory and of two free ports, and
    /// waits until it listens on the first. The second is for a server that needs two.
    ///
    /// # Errors
    /// [`Error::Server`] if it doesn't start; [`Error::NoPlace`] and [`Error::NoPort`].
    pub fn start(name: &'static str, command: impl FnOnce(&Path, [u16; 2]) -> Vec<OsString>) -> Result<Self, Error> {
        let user = OsUser::for_servers()?;
        let dir = run_dir::create(user)?;
        let ports = [port::free()?, port::free()?];
        let command = command(&dir, ports);
        let arguments: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
        let script = include_str!("guardian_daemon.sh");
        let guardian = Guardian::start(name, script, user, dir, &arguments)?;
        let mut daemon = Self { guardian, port: ports[0], pid: 0 };
        daemon.guardian.ask("start")?;
        daemon.pid = daemon.read_pid()?;
        daemon.until_it_listens()?;
        Ok(daemon)
    }

    /// The first of its ports.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    fn read_pid(&self) -> Result<i32, Error> {
        let path = self.guardian.dir().join("pid");
        let pid = fs::read_to_string(&path).map_err(Error::file(&path))?;
        Ok(pid.trim().parse().expect("the shell writes a number"))
    }

    /// Each server reports in its own way that it is ready, but all answer then.
    fn until_it_listens(&mut self) -> Result<(), Error> {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            self.guardian.ask("alive")?;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
