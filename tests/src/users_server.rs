//! The server of the user's own that `DATABASE_URL` names.

use std::process::Command;

use crate::os_user::run;
use crate::{Error, PostgresInstall};

/// Puts the extension into the database of `url`, unless it is there.
///
/// # Errors
/// [`Error::NotInstalled`] if that server does not offer the extension, [`Error::Failed`] if it can't be reached or
/// the user may not create it.
pub fn require_extension(install: &PostgresInstall, url: &str) -> Result<(), Error> {
    let psql = |sql: &str| {
        run(Command::new(install.bin_dir().join("psql")).args(["-XAtq", "-d", url, "-c", sql]))
    };
    if psql("SELECT 1 FROM pg_available_extensions WHERE name = 'volguard'")?.is_empty() {
        return Err(Error::NotInstalled);
    }
    psql("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS volguard")?;
    Ok(())
}
