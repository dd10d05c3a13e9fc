//! The program itself.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use volguard::uuid::Uuid;

/// Longer than anything takes that ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Of the program, with the output caught. It reads no settings of the caller.
pub(crate) fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volguard"));
    for variable in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGAPPNAME", "VOLGUARD_SABOTAGE"] {
        command.env_remove(variable);
    }
    // On a busy machine even the way to a server that answers takes its time.
    command.env("PGCONNECT_TIMEOUT", "60").env("DATABASE_URL", url).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(url: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    Ok(timeout(PATIENCE, command(url, arguments).output()).await??)
}

/// Its exit code, what it wrote to stdout, and to stderr.
pub(crate) fn ended(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// `volguard lock` with a script of the shell, under way.
pub(crate) struct Program {
    child: Child,
    /// A directory that the script knows as `$DIR`.
    pub(crate) dir: PathBuf,
}

impl Program {
    /// Without these guards; `script` is a command of `sh`.
    pub(crate) fn start(url: &str, options: &[&str], without: &str, script: &str) -> anyhow::Result<Program> {
        Program::start_as(url, options, without, script, |_| {})
    }

    /// The same, with what `prepare` changes.
    pub(crate) fn start_as(
        url: &str,
        options: &[&str],
        without: &str,
        script: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Program> {
        let arguments = [&["lock", "volume/v-1"], options, &["--", "sh", "-c", script]].concat();
        Program::spawn(command(url, &arguments), without, prepare)
    }

    /// What a script of the shell becomes, which knows the program as `$V`.
    pub(crate) fn start_by(url: &str, script: &str) -> anyhow::Result<Program> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("DATABASE_URL", url).env("V", env!("CARGO_BIN_EXE_volguard"));
        shell.env("PGCONNECT_TIMEOUT", "60");
        shell.stdin(Stdio::null()).kill_on_drop(true);
        Program::spawn(shell, "", |_| {})
    }

    fn spawn(mut command: Command, without: &str, prepare: impl FnOnce(&mut Command)) -> anyhow::Result<Program> {
        let dir = std::env::temp_dir().join(format!("volguard-cli-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&dir)?;
        command.env("DIR", &dir).env("VOLGUARD_SABOTAGE", without);
        // What is left of a command must not keep the test waiting for the end of a pipe.
        command.stdout(Stdio::null()).stderr(std::fs::File::create(dir.join("stderr"))?);
        prepare(&mut command);
        Ok(Program { child: command.spawn()?, dir })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it was not waited for")
    }

    /// What a file in the directory says, if it is there.
    pub(crate) fn said(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join(file)).ok()
    }

    pub(crate) async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(timeout(PATIENCE, self.child.wait()).await??)
    }

    /// Its end as an exit code, and what it wrote to stderr.
    pub(crate) async fn code(&mut self) -> anyhow::Result<(Option<i32>, String)> {
        let status = self.end().await?;
        Ok((status.code(), self.said("stderr").unwrap_or_default()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
