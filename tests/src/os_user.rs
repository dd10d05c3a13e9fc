//! The operating system user who runs servers, and running programs as that user.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;

/// The user that runs the servers: `postgres` if we are root, which Postgres and PgBouncer refuse, else our own user.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OsUser {
    Ourselves,
    Postgres { uid: u32, gid: u32 },
}

impl OsUser {
    pub(crate) fn for_servers() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        Ok(Self::Postgres { uid: id_of_postgres("-u")?, gid: id_of_postgres("-g")? })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ourselves => "yourself",
            Self::Postgres { .. } => "postgres",
        }
    }

    /// A command that runs as this user, without root's groups.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Self::Postgres { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Postgres { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(Error::file(path)),
        }
    }

    /// Asks the kernel, not the permission bits: a parent directory may be closed to this user.
    pub(crate) fn can(self, access: &str, path: &Path) -> bool {
        self.command("test")
            .arg(access)
            .arg(path)
            // The caller's own directory may be one that this user can't enter.
            .current_dir("/")
            .status()
            .is_ok_and(|status| status.success())
    }
}

fn id_of_postgres(option: &str) -> Result<u32, Error> {
    let id = run(Command::new("id").args([option, "postgres"]))?;
    Ok(id.parse().expect("`id` prints a number"))
}

/// Runs a short command and returns what it printed, without the last line break.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|source| Error::Spawn { program: program.clone(), source })?;
    if !output.status.success() {
        return Err(Error::Failed {
            program,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
