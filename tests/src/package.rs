//! The extension of this working tree, laid out for a private server.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::os_user::{OsUser, run};
use crate::{Error, PostgresInstall, workspace};

const VARIABLE: &str = "VOLGUARD_PACKAGE";

/// How the extension is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Quickly, with checks: for tests and the demo.
    #[default]
    Debug,
    /// Optimised: for benchmarks.
    Release,
}

/// A directory that holds the extension's files under the paths they would have below `/`.
#[derive(Debug, Clone)]
pub struct Package {
    root: PathBuf,
}

impl Package {
    /// The package of the variable `VOLGUARD_PACKAGE`, else one built now.
    ///
    /// # Errors
    /// As [`Package::build`].
    pub fn from_env_or_build(install: &PostgresInstall, profile: Profile) -> Result<Self, Error> {
        match env::var_os(VARIABLE) {
            Some(root) => Ok(Self { root: root.into() }),
            None => Self::build(install, profile),
        }
    }

    /// Builds the extension with `cargo pgrx package`, whose output is shown only if it fails.
    ///
    /// # Errors
    /// [`Error::Spawn`] without cargo, [`Error::Failed`] if the extension does not compile.
    pub fn build(install: &PostgresInstall, profile: Profile) -> Result<Self, Error> {
        let (name, flag) = match profile {
            Profile::Debug => ("debug", Some("--debug")),
            Profile::Release => ("release", None),
        };
        let root = workspace::target().join("pgrx-package").join(name);
        let mut cargo = Command::new("cargo");
        cargo
            .args(["pgrx", "package", "-p", "volguard-extension", "--pg-config"])
            .arg(install.pg_config())
            .arg("--out-dir")
            .arg(&root)
            .args(flag)
            .current_dir(workspace::root());
        eprintln!("building the extension ({name})");
        run(&mut cargo)?;
        Ok(Self { root })
    }

    /// What Debian's setting `extension_destdir` takes.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The variable that makes [`Package::from_env_or_build`] use this package.
    #[must_use]
    pub fn variable(&self) -> (&'static str, &Path) {
        (VARIABLE, &self.root)
    }

    /// This package, or a copy in `dir` if `user` can't read it where it is.
    pub(crate) fn readable_by(&self, user: OsUser, dir: &Path) -> Result<PathBuf, Error> {
        if user.can("-r", &self.root) {
            return Ok(self.root.clone());
        }
        let copy = dir.join("package");
        run(Command::new("cp").arg("-r").arg(&self.root).arg(&copy))?;
        Ok(copy)
    }
}
