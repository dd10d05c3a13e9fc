//! The directory of one running server: data, socket, settings, log.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, process};

use uuid::Uuid;

use crate::os_user::OsUser;
use crate::{Error, workspace};

/// A Unix socket's path has 107 bytes; `/socket/.s.PGSQL.12345.lock` takes some of them.
const LONGEST: usize = 75;
/// More logs than one whole test run leaves.
const KEEP_LOGS: usize = 30;

/// Makes a directory that only `user` (and root) can enter: below `target/`, or in the temporary directory if the
/// working tree lies where `user` can't go or where a socket's path would get too long.
pub(crate) fn create(user: OsUser) -> Result<PathBuf, Error> {
    let below_target = workspace::target().join("private-postgres");
    fs::create_dir_all(&below_target).map_err(Error::file(&below_target))?;
    // The server's guardian removes its own directory, so it needs to write in the one above.
    user.own(&below_target)?;

    let mut tried = below_target.clone();
    for base in [below_target, env::temp_dir()] {
        remove_old_logs(&base);
        let path = base.join(unique_name());
        tried.clone_from(&path);
        if path.as_os_str().len() > LONGEST {
            continue;
        }
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::file(&path))?;
        user.own(&path)?;
        if user.can("-w", &path) {
            return Ok(path);
        }
        fs::remove_dir(&path).map_err(Error::file(&path))?;
    }
    Err(Error::NoPlace { tried, user: user.name().to_owned() })
}

fn unique_name() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("volguard-{}-{}", process::id(), &random[..8])
}

/// Removes the leftovers of finished runs, except the newest: directories with only a log in them.
fn remove_old_logs(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    let mut finished: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| is_ours(&entry.file_name()))
        .filter_map(|entry| Some((end_of_run(&entry.path())?, entry.path())))
        .collect();
    finished.sort_by(|one, other| other.cmp(one));
    for (_, dir) in finished.into_iter().skip(KEEP_LOGS) {
        // Another run may do the same at this moment, and a leftover does no harm.
        let _ = fs::remove_file(dir.join("log")).and_then(|()| fs::remove_dir(dir));
    }
}

fn end_of_run(dir: &Path) -> Option<SystemTime> {
    let alone = fs::read_dir(dir).ok()?.count() == 1;
    let modified = dir.join("log").metadata().ok()?.modified().ok()?;
    alone.then_some(modified)
}

/// A name as [`unique_name`] makes them: the temporary directory has files of other programs too.
fn is_ours(name: &OsStr) -> bool {
    let parts: Vec<&str> = name.to_str().unwrap_or_default().split('-').collect();
    matches!(parts[..], ["volguard", pid, random]
        if pid.parse::<u32>().is_ok() && u32::from_str_radix(random, 16).is_ok() && random.len() == 8)
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_runs_are_ours() {
        assert!(is_ours(OsStr::new(&unique_name())));
        for name in ["volguard-1-abc", "volguard-project", "volguard-x-12345678", "volguard-1-1234567z"] {
            assert!(!is_ours(OsStr::new(name)), "{name}");
        }
    }
}
