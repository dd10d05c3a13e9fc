//! The harness itself: a server survives crashes, and does not survive its owner.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Config, NoTls};
use uuid::Uuid;
use volguard_tests::{Daemon, Package, PgBouncer, PostgresInstall, PrivateServer, Profile};

type Result = std::result::Result<(), Box<dyn Error>>;

fn with_postgres() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-postgres"));
    command.env_remove("DATABASE_URL").stdin(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_crash_loses_nothing_that_was_committed() -> Result {
    let mut server = PrivateServer::start()?;
    server.psql("CREATE TABLE kept AS SELECT 7 AS value")?;
    server.crash()?;
    assert!(server.psql("SELECT 1").is_err(), "the server is down");
    server.restart()?;
    assert_eq!(server.psql("SELECT value FROM kept")?, "7");
    Ok(())
}

#[test]
fn a_promotion_starts_a_timeline_and_keeps_the_port() -> Result {
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    let mut server = PrivateServer::start()?;
    let port = server.port();
    assert_eq!(server.psql(timeline)?, "1");
    server.new_timeline()?;
    server.psql("CHECKPOINT")?;
    assert_eq!(server.psql(timeline)?, "2");
    assert_eq!(server.psql("SHOW port")?, port.to_string());
    Ok(())
}

#[test]
fn commits_wait_for_the_disk_unless_told_otherwise() -> Result {
    assert_eq!(PrivateServer::start()?.psql("SHOW fsync")?, "on");
    let server = PrivateServer::builder().durable(false).start()?;
    assert_eq!(server.psql("SHOW fsync")?, "off");
    Ok(())
}

#[test]
fn dropping_a_server_leaves_nothing_behind() -> Result {
    let server = PrivateServer::start()?;
    let log = server.log();
    assert!(log.exists());
    drop(server);
    assert!(!log.parent().is_some_and(Path::exists));
    Ok(())
}

/// Such a line is what `make test-assert` looks for.
#[test]
fn a_server_with_a_defect_keeps_its_log() -> Result {
    let server = PrivateServer::start()?;
    let log = server.log();
    let mut file = std::fs::OpenOptions::new().append(true).open(&log)?;
    file.write_all(b"TRAP: FailedAssertion(\"made by a test\", File: \"harness.rs\")\n")?;
    drop(server);
    let kept = std::fs::read_to_string(&log)?;
    std::fs::remove_file(&log)?;
    assert!(kept.contains("made by a test"));
    Ok(())
}

#[test]
fn a_killed_primary_comes_back_as_a_standby() -> Result {
    let builder = || PrivateServer::builder().setting("wal_log_hints", "on").setting("wal_keep_size", "1GB");
    let mut first = builder().start()?;
    let mut second = builder().start_standby_of(&first, "second")?;
    second.follow_none()?;
    first.psql("CREATE TABLE lost ()")?;
    first.kill()?;
    assert!(first.psql("SELECT 1").is_err(), "it is down");
    second.promote()?;
    second.psql("CREATE TABLE kept ()")?;
    first.rewind_to(&second)?;
    first.follow(&second, "first")?;
    first.restart()?;
    let in_time = Instant::now() + Duration::from_secs(120);
    while first.psql("SELECT to_regclass('kept') IS NULL")? == "t" {
        assert!(Instant::now() < in_time, "it does not follow");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(first.psql("SELECT pg_is_in_recovery(), to_regclass('lost') IS NULL")?, "t|t");
    Ok(())
}

#[test]
fn tcp_asks_for_a_password() -> Result {
    let server = PrivateServer::start()?;
    let select = |password: &str| {
        let url = format!("postgresql://postgres@127.0.0.1:{}/volguard", server.port());
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", password).args(["-XAtqd", &url, "-c", "SELECT 1"]).output()
    };
    let config: Config = server.url().parse()?;
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default());
    assert!(select(&password)?.status.success());
    let refused = select("wrong")?;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("password authentication failed"));
    Ok(())
}

#[tokio::test]
async fn roles_of_their_own_pass_through_the_pooler() -> Result {
    let server = PrivateServer::start()?;
    server.psql("CREATE ROLE bob LOGIN PASSWORD 'secret'")?;
    let pooler = PgBouncer::in_front_of(&server.url())?;
    let url = format!("postgresql://bob:secret@127.0.0.1:{}/volguard", pooler.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let rows = client.simple_query("SELECT current_user").await?;
    assert!(format!("{rows:?}").contains("bob"));
    Ok(())
}

#[test]
fn a_daemon_listens_and_leaves_nothing_behind() -> Result {
    let mut place = None;
    let daemon = Daemon::start("listener", |dir, [port, _]| {
        place = Some(dir.to_owned());
        let listen = r#"
            use IO::Socket::INET;
            my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => shift, Listen => 1) or die $!;
            sleep while 1;
        "#;
        ["perl", "-e", listen, &port.to_string()].map(Into::into).to_vec()
    })?;
    let place = place.expect("the command was asked for");
    assert!(TcpStream::connect(("127.0.0.1", daemon.port())).is_ok());
    let (port, process) = (daemon.port(), format!("/proc/{}", daemon.pid()));
    assert!(Path::new(&process).exists());
    drop(daemon);
    assert!(!Path::new(&process).exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!place.exists());
    Ok(())
}

#[test]
fn a_daemon_that_ends_at_once_is_an_error_with_its_last_words() {
    let words = ["sh", "-c", "echo no such luck; exit 1"];
    let daemon = Daemon::start("daemon", |_, _| words.map(Into::into).to_vec());
    let error = daemon.expect_err("no process listens").to_string();
    assert!(error.contains("no such luck"), "{error}");
}

#[test]
fn the_exit_code_is_that_of_the_command() -> Result {
    let status = with_postgres().args(["--", "sh", "-c", "exit 7"]).status()?;
    assert_eq!(status.code(), Some(7));
    Ok(())
}

#[test]
fn the_server_dies_with_a_killed_owner() -> Result {
    let (mut owner, mut stdout, postmaster) = running_server()?;
    owner.kill()?;
    owner.wait()?;
    // The command outlives its parent; only the server has to be stopped.
    wait_until_gone(&postmaster);
    stdout.read_to_end(&mut Vec::new())?;
    Ok(())
}

#[test]
fn a_signal_reaches_the_command_and_then_the_server_stops() -> Result {
    let (mut owner, _stdout, postmaster) = running_server()?;
    kill_process(Pid::from_child(&owner), Signal::TERM)?;
    assert_eq!(owner.wait()?.code(), Some(128 + 15));
    wait_until_gone(&postmaster);
    Ok(())
}

/// What has ended lives no more, whether or not an init has waited for it.
fn lives(process: &str) -> bool {
    let state = |status: String| status.lines().find_map(|line| line.strip_prefix("State:")?.trim().chars().next());
    std::fs::read_to_string(format!("{process}/status")).is_ok_and(|status| !matches!(state(status), Some('Z' | 'X')))
}

/// The kernel reports the end of a process only to its parent, which this test is not.
fn wait_until_gone(process: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while lives(process) {
        assert!(Instant::now() < deadline, "{process} still runs");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts `with-postgres` with a command that reports the server's process, as a path, and then stays until the
/// server is gone.
fn running_server() -> std::result::Result<(Child, impl Read, String), Box<dyn Error>> {
    let command = r#"
        psql -Atqc "SELECT '/proc/' || split_part(pg_read_file('postmaster.pid'), E'\n', 1)"
        exec psql -Atqc 'SELECT pg_sleep(60)'
    "#;
    let mut owner = with_postgres().args(["--", "sh", "-c", command]).stdout(Stdio::piped()).spawn()?;
    let mut stdout = BufReader::new(owner.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    Ok((owner, stdout, line.trim().to_owned()))
}

#[test]
fn a_server_of_the_users_own_is_used_instead() -> Result {
    let server = PrivateServer::start()?;
    let mut command = with_postgres();
    command.env("DATABASE_URL", server.url_of("postgres"));
    let output = command
        .args(["--", "psql", "-Atqc", "SELECT extversion <> '' FROM pg_extension WHERE extname = 'volguard'"])
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "t\n");
    assert_eq!(server.psql_in("postgres", "SELECT count(*) FROM pg_extension WHERE extname = 'volguard'")?, "1");
    Ok(())
}

#[test]
fn a_server_without_the_extension_is_refused_with_a_hint() -> Result {
    let server = PrivateServer::builder().bare().start()?;
    let output = with_postgres()
        .env("DATABASE_URL", server.url_of("postgres"))
        .stderr(Stdio::piped())
        .args(["--", "true"])
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`make install`"));
    Ok(())
}

/// An installation with another volguard in it, as `make install` may have put it there before: `sh -c OTHER sh DIR
/// PACKAGE`. It consists of links to the real one; its `pg_config` lies beside it, and the package, moved to its place.
const OTHER: &str = r#"
    set -e
    dir=$1 package=$2 config=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
    bin=$("$config" --bindir) lib=$("$config" --pkglibdir) share=$("$config" --sharedir)
    there=$dir/installed
    mkdir -p "$there${bin%/*}" "$there$lib" "$there$share/extension" "$dir/package$dir"
    ln -s "$bin" "$there$bin"
    ln -s "$lib"/* "$there$lib"
    find "$share" -mindepth 1 -maxdepth 1 ! -name extension -exec ln -s -t "$there$share" {} +
    ln -s "$share"/extension/* "$there$share/extension"
    rm -f "$there$lib"/volguard* "$there$share"/extension/volguard*
    echo 'no library at all' > "$there$lib/volguard.so"
    echo "default_version = 'other'" > "$there$share/extension/volguard.control"
    echo 'SELECT 1;' | tee "$there$share/extension/volguard--other.sql" > "$there$share/extension/volguard--0.1.0--other.sql"
    printf '#!/bin/sh\ncase $1 in --bindir) echo %s ;; --pkglibdir) echo %s ;; --sharedir) echo %s ;; esac\n' \
        "$there$bin" "$there$lib" "$there$share" > "$dir/pg_config"
    chmod +x "$dir/pg_config"
    ln -s "$package" "$dir/package$there"
"#;

#[test]
fn what_is_installed_is_not_seen() -> Result {
    let package = Package::from_env_or_build(&PostgresInstall::find()?, Profile::Debug)?;
    let dir = std::env::temp_dir().join(Uuid::new_v4().to_string());
    std::fs::create_dir(&dir)?;
    let made = Command::new("sh").args(["-c", OTHER, "sh"]).args([&dir, package.root()]).status()?;
    assert!(made.success());
    let look = "SELECT extversion <> 'other', volguard.release(1),
                       (SELECT count(*) FROM pg_extension_update_paths('volguard') WHERE 'other' IN (source, target))
                FROM pg_extension WHERE extname = 'volguard'";
    let output = with_postgres()
        .env("PG_CONFIG", dir.join("pg_config"))
        .env("VOLGUARD_PACKAGE", dir.join("package"))
        .stderr(Stdio::piped())
        .args(["--", "psql", "-Atqc", look])
        .output()?;
    std::fs::remove_dir_all(&dir)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "t|f|0\n", "{errors}");
    Ok(())
}

/// Written over in place, a library would crash the backends that have it mapped.
#[test]
fn installing_replaces_files_and_writes_over_none() -> Result {
    let folder = env::temp_dir().join(format!("volguard-install-{}", Uuid::new_v4()));
    let (target, root) = (folder.join("target"), folder.join("root"));
    let library = "usr/lib/postgresql/15/lib/volguard.so";
    let package = target.join("pgrx-package/release").join(library);
    let installed = root.join(library);
    for file in [&package, &installed] {
        fs::create_dir_all(file.parent().unwrap())?;
    }
    fs::write(&installed, "old")?;
    fs::write(&package, "new")?;
    let mut mapped = File::open(&installed)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
    let status =
        Command::new(script).env("CARGO_TARGET_DIR", &target).env("DESTDIR", &root).stdout(Stdio::null()).status()?;
    assert!(status.success());
    assert_eq!(fs::read_to_string(&installed)?, "new");
    let mut old = String::new();
    mapped.read_to_string(&mut old)?;
    assert_eq!(old, "old");
    assert_eq!(fs::read_dir(installed.parent().unwrap())?.count(), 1, "nothing else is left");
    fs::remove_dir_all(folder)?;
    Ok(())
}
