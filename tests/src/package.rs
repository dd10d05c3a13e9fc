//! The extension of this working tree, laid out for a private server.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::os_user::{OsUser, run};
use crate::{Error, PostgresInstall, workspace};

/// How the extension is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Quickly, with checks: for tests and the demo.
    #[default]
    Debug,
    /// As `Debug`, with the setting `volguard.sabotage`, which removes single guards: for negative tests.
    Sabotage,
    /// Optimised: for benchmarks.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Sabotage => "sabotage",
            Self::Release => "release",
        }
    }

    /// The variable that names a finished package.
    fn variable(self) -> &'static str {
        match self {
            Self::Debug | Self::Release => "VOLGUARD_PACKAGE",
            Self::Sabotage => "VOLGUARD_SABOTAGE_PACKAGE",
        }
    }
}

/// A directory that holds the extension's files under the paths they would have below `/`.
#[derive(Debug, Clone)]
pub struct Package {
    root: PathBuf,
    profile: Profile,
}

impl Package {
    /// The package that the variable `VOLGUARD_PACKAGE` (`VOLGUARD_SABOTAGE_PACKAGE`) names, else one built now.
    ///
    /// # Errors
    /// As [`Package::build`].
    pub fn from_env_or_build(install: &PostgresInstall, profile: Profile) -> Result<Self, Error> {
        match env::var_os(profile.variable()) {
            Some(root) => Ok(Self { root: root.into(), profile }),
            None => Self::build(install, profile),
        }
    }

    /// Builds the extension; cargo's output is shown only if it fails.
    ///
    /// # Errors
    /// [`Error::Failed`] if the extension does not compile, or there is no cargo pgrx.
    pub fn build(install: &PostgresInstall, profile: Profile) -> Result<Self, Error> {
        eprintln!("building the extension ({})", profile.name());
        let script = workspace::root().join("tests/package.sh");
        let root = run(Command::new(script).arg(profile.name()).env("PG_CONFIG", install.pg_config()))?;
        Ok(Self { root: root.into(), profile })
    }

    /// The path of the package.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The variable that makes [`Package::from_env_or_build`] use this package.
    #[must_use]
    pub fn variable(&self) -> (&'static str, &Path) {
        (self.profile.variable(), &self.root)
    }

    /// This package, or a copy in `dir` if `user` can't read it.
    pub(crate) fn readable_by(&self, user: OsUser, dir: &Path) -> Result<PathBuf, Error> {
        if user.can("-r", &self.root) {
            return Ok(self.root.clone());
        }
        let copy = dir.join("package");
        run(Command::new("cp").arg("-r").arg(&self.root).arg(&copy))?;
        // The server's guardian removes it.
        run(Command::new("chown").arg("-R").arg(reference(dir)).arg(&copy))?;
        Ok(copy)
    }
}

fn reference(owned: &Path) -> OsString {
    let mut option = OsString::from("--reference=");
    option.push(owned);
    option
}
