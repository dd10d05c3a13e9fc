//! `with-postgres [options] -- command arguments…` runs a command with a database to work on.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio_postgres::config::{Config, Host};
use volguard_tests::{Error, PgBouncer, PostgresInstall, PrivateServer, Profile, require_extension};

const USAGE: &str = "\
usage: with-postgres [options] -- command [argument...]

Starts a private Postgres with the extension in it, runs the command with DATABASE_URL and the PG... variables set,
stops the server and exits with the command's exit code. If DATABASE_URL is set already, that server is used.

  --release          compile the extension optimised
  --set NAME=VALUE   a Postgres setting for the private server
  --pgbouncer        put a PgBouncer in transaction mode in front, and point the variables at it
  --help             this text";

type Failure = Box<dyn std::error::Error>;
type Signals = SignalsInfo<WithOrigin>;

#[derive(Default)]
struct Options {
    profile: Profile,
    settings: Vec<(String, String)>,
    pgbouncer: bool,
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("with-postgres: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let Some(options) = parse()? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    // From here on a signal waits until there is a command to pass it to, or nothing is left to stop.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD])?;
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(USAGE.into());
    };
    let mut command = Command::new(program);
    command.args(arguments);

    let (url, mut server) = match env::var("DATABASE_URL") {
        Ok(url) if !url.is_empty() => {
            require_extension(&PostgresInstall::find()?, &url)?;
            (url, None)
        }
        _ => {
            let server = start(&options)?;
            let (name, path) = server.package().variable();
            command.env(name, path);
            (server.url(), Some(server))
        }
    };
    let pooler = options.pgbouncer.then(|| PgBouncer::in_front_of(&url)).transpose()?;
    let url = pooler.as_ref().map_or(url, PgBouncer::url);
    command.envs(variables(&url)?);

    if let Some(early) = signals.pending().find(|origin| origin.signal != SIGCHLD) {
        return Ok(exit_code(ExitStatus::from_raw(early.signal)));
    }
    let child = command.spawn().map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
    let status = supervise(child, &mut signals)?;
    if let Some(server) = server.as_mut().filter(|_| !status.success()) {
        server.keep_log();
        eprintln!(
            "with-postgres: {} ended with {status}; the server's log is {}",
            program.to_string_lossy(),
            server.log().display()
        );
    }
    Ok(exit_code(status))
}

fn parse() -> Result<Option<Options>, Failure> {
    use lexopt::prelude::*;

    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("release") => options.profile = Profile::Release,
            Long("pgbouncer") => options.pgbouncer = true,
            Long("set") => {
                let setting = parser.value()?.string()?;
                let (name, value) = setting.split_once('=').ok_or("--set takes NAME=VALUE")?;
                options.settings.push((name.to_owned(), value.to_owned()));
            }
            Long("help") | Short('h') => return Ok(None),
            Value(program) => {
                options.command.push(program);
                options.command.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn start(options: &Options) -> Result<PrivateServer, Error> {
    let builder = PrivateServer::builder().profile(options.profile);
    let add =
        |builder: volguard_tests::PrivateServerBuilder, (name, value): &(String, String)| builder.setting(name, value);
    options.settings.iter().fold(builder, add).start()
}

/// What drivers that know no URL read: libpq's variables, which pg_regress relies on.
fn variables(url: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let config: Config = url.parse().map_err(|error| format!("DATABASE_URL: {error}"))?;
    let host = config.get_hosts().first().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(dir) => dir.to_string_lossy().into_owned(),
    });
    let password = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let found = [
        ("DATABASE_URL", Some(url.to_owned())),
        ("PGHOST", host),
        ("PGPORT", config.get_ports().first().map(u16::to_string)),
        ("PGUSER", config.get_user().map(str::to_owned)),
        ("PGPASSWORD", password),
        ("PGDATABASE", config.get_dbname().map(str::to_owned)),
    ];
    Ok(found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// Waits for the command, passing on the signals meant for it.
fn supervise(mut child: Child, signals: &mut Signals) -> Result<ExitStatus, Failure> {
    let pid = Pid::from_child(&child);
    // The command may have ended before the process listened for SIGCHLD.
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    for origin in signals.forever() {
        if origin.signal != SIGCHLD {
            forward(&origin, pid);
        } else if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
    }
    Ok(child.wait()?)
}

/// The terminal sends Ctrl-C to the command as well; a second copy would cut its orderly exit short.
fn forward(origin: &Origin, pid: Pid) {
    let from_terminal = matches!(origin.cause, Cause::Kernel);
    if let Some(signal) = Signal::from_named_raw(origin.signal).filter(|_| !from_terminal) {
        // It fails only if the command is gone, which SIGCHLD reports.
        let _ = kill_process(pid, signal);
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
