//! A child process that outlives its owner until it has stopped a server.
//!
//! A `Drop` does not run when the owner is killed, and `PR_SET_PDEATHSIG` is tied to the thread that started the
//! child, which in a test ends before the test does. A pipe has neither flaw: the guardian reads verbs from its
//! stdin, and whatever ends the owner also closes that pipe, upon which the guardian stops the server.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use crate::Error;
use crate::os_user::OsUser;
use crate::run_dir;

const SCRIPT: &str = "guardian.sh";

/// The owner's end. Dropping it stops the server and removes its directory, waiting until that is done.
#[derive(Debug)]
pub(crate) struct Guardian {
    name: &'static str,
    dir: PathBuf,
    child: Child,
    /// `None` only while being dropped.
    verbs: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    keep_log: bool,
}

impl Guardian {
    /// Starts the shell program `script` as `user` in `dir`, with `arguments` after the directory.
    pub(crate) fn start(
        name: &'static str,
        script: &str,
        user: OsUser,
        dir: PathBuf,
        arguments: &[&OsStr],
    ) -> Result<Self, Error> {
        // A file, since a working tree may be closed to `user`, and `ps` would show the whole text of a `sh -c`.
        let file = dir.join(SCRIPT);
        fs::write(&file, script).map_err(Error::file(&file))?;
        let mut child = user
            .command("sh")
            .arg(SCRIPT)
            .arg(&dir)
            .args(arguments)
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C at the terminal is meant for the command that uses the server, not for the server.
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Spawn { program: "sh".into(), source })?;
        let verbs = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Self { name, dir, child, verbs, replies, keep_log: false })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Keeps the log for a reader.
    pub(crate) fn keep_log(&mut self) {
        self.keep_log = true;
    }

    /// Sends the guardian a verb and waits until it is done.
    pub(crate) fn ask(&mut self, verb: &str) -> Result<(), Error> {
        if self.exchange(verb).is_ok_and(|reply| reply == "ok\n") {
            return Ok(());
        }
        self.keep_log = true;
        Err(Error::Server { name: self.name, verb: verb.to_owned(), log: self.log(), tail: run_dir::tail(&self.log()) })
    }

    fn exchange(&mut self, verb: &str) -> std::io::Result<String> {
        let mut reply = String::new();
        if let Some(verbs) = &mut self.verbs {
            writeln!(verbs, "{verb}")?;
            self.replies.read_line(&mut reply)?;
        }
        Ok(reply)
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // If an owner dies without a message, the log stays too: that is the guardian's default.
        if !self.keep_log && !thread::panicking() {
            // A guardian that is gone has no log to delete.
            let _ = self.exchange("forget");
        }
        self.verbs = None;
        // There is no caller left to tell, and the guardian has logged what went wrong.
        let _ = self.child.wait();
    }
}
