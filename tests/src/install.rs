//! The Postgres installation that private servers are made from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::os_user::run;

const DEBIAN_PG_CONFIG: &str = "/usr/lib/postgresql/15/bin/pg_config";

/// An installed Postgres, named by its `pg_config`: that of the variable `PG_CONFIG`, else Debian's Postgres 15.
#[derive(Debug, Clone)]
pub struct PostgresInstall {
    pg_config: PathBuf,
    bin_dir: PathBuf,
    library_dir: PathBuf,
    share_dir: PathBuf,
}

impl PostgresInstall {
    /// Finds the installation.
    ///
    /// # Errors
    /// [`Error::Spawn`] if there is no such `pg_config`.
    pub fn find() -> Result<Self, Error> {
        let pg_config = env::var_os("PG_CONFIG").map_or(DEBIAN_PG_CONFIG.into(), PathBuf::from);
        let directory = |which| run(Command::new(&pg_config).arg(which)).map(PathBuf::from);
        Ok(Self {
            bin_dir: directory("--bindir")?,
            library_dir: directory("--pkglibdir")?,
            share_dir: directory("--sharedir")?,
            pg_config,
        })
    }

    /// The path of its `pg_config`.
    #[must_use]
    pub fn pg_config(&self) -> &Path {
        &self.pg_config
    }

    /// The directory of `postgres`, `pg_ctl`, `psql` and so on.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The directory of the libraries of extensions.
    #[must_use]
    pub fn library_dir(&self) -> &Path {
        &self.library_dir
    }

    /// The directory that has the extensions' scripts in its folder `extension`.
    #[must_use]
    pub fn share_dir(&self) -> &Path {
        &self.share_dir
    }
}
