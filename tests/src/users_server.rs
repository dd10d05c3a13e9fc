//! The server of the user's own that `DATABASE_URL` names.

use std::process::Command;

use crate::os_user::run;
use crate::{Error, PostgresInstall};

/// Postgres 15 and older miss the control file; newer ones say that the extension is not available.
const NO_SUCH_EXTENSION: [&str; 2] = ["58P01", "0A000"];

/// Puts the extension into the database of `url`, unless it is there.
///
/// # Errors
/// [`Error::NotInstalled`] if that server does not offer the extension, [`Error::Failed`] if it can't be reached or
/// the user may not create it.
pub fn require_extension(install: &PostgresInstall, url: &str) -> Result<(), Error> {
    let mut psql = Command::new(install.bin_dir().join("psql"));
    psql.args(["-XAtq", "-v", "VERBOSITY=verbose", "-d", url]);
    // Only a try can tell: pg_available_extensions does not read Debian's extension_destdir.
    psql.args(["-c", "CREATE EXTENSION IF NOT EXISTS volguard"]);
    match run(&mut psql) {
        Err(Error::Failed { stderr, .. }) if NO_SUCH_EXTENSION.iter().any(|code| stderr.contains(code)) => {
            Err(Error::NotInstalled)
        }
        result => result.map(drop),
    }
}
