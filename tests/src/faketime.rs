//! The library that shows another time to a process.

use std::fs;

use crate::Error;

/// The path of the library, for `LD_PRELOAD`. Debian has it in a folder named after the machine.
///
/// # Errors
/// [`Error::NoFakeTime`]
pub fn library() -> Result<String, Error> {
    let folders = fs::read_dir("/usr/lib").map_err(|_| Error::NoFakeTime)?;
    let found = folders
        .filter_map(Result::ok)
        .map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    found.map(|library| library.display().to_string()).ok_or(Error::NoFakeTime)
}

/// The environment in which a process sees a time that is so many seconds ahead of ours. The monotonic clock stays.
pub(crate) fn environment(seconds: i64) -> Result<String, Error> {
    Ok(format!("LD_PRELOAD={} FAKETIME={seconds:+} FAKETIME_DONT_FAKE_MONOTONIC=1", library()?))
}
