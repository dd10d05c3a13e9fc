//! `volguard lock` on a terminal: the keyboard belongs to the command while it runs, and to the shell before and after.

use crate::support::Database;
use crate::support::screen::Screen;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use volguard_tests::scenario::until;

/// Says when it has been continued: what is typed before that is not for it. It does not read before: a shell that is
/// continued just before it reads would run its trap when it has read. It starts nothing while it waits: a shell whose
/// child is stopped between vfork and exec does not stop, for any caller.
const READS_WHEN_CONTINUED: &str = r#"trap again=1 CONT; echo ready; while [ -z "$again" ]; do :; done
    echo again; read a; echo "got $a""#;

fn shell(database: &Database, script: &str) -> anyhow::Result<Screen> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("DATABASE_URL", database.url()).env("V", env!("CARGO_BIN_EXE_volguard"));
    Screen::start(command, 80, 24)
}

#[tokio::test]
async fn the_command_reads_from_the_terminal_and_the_shell_after_it() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = r#"$V lock volume/v-1 -- sh -c 'echo first; read a; echo "got $a"'; read b; echo "then $b""#;
    let mut screen = shell(&database, script)?;
    screen.until_text("first")?;
    screen.type_in("one\r")?;
    screen.until_text("got one")?;
    screen.type_in("two\r")?;
    screen.until_text("then two")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn ctrl_c_is_for_the_command() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = r#"$V lock volume/v-1 -- sh -c 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.1; done'
        echo "code $?""#;
    let mut screen = shell(&database, script)?;
    screen.until_text("ready")?;
    screen.type_in("\u{3}")?;
    screen.until_text("caught")?;
    screen.until_text("code 3")?;
    assert_eq!(screen.end()?.code(), Some(0));
    assert_eq!(database.token("v-1").await?, None);
    Ok(())
}

/// A command that dies of Ctrl-C takes its script with it, as it would without `volguard lock`.
#[tokio::test]
async fn ctrl_c_ends_a_script_too() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mut screen = shell(&database, r#"$V lock volume/v-1 -- sh -c 'echo ready; exec sleep 1000'; echo "went on""#)?;
    screen.until_text("ready")?;
    screen.type_in("\u{3}")?;
    assert_eq!(screen.end()?.signal(), Some(2), "{}", screen.text());
    assert!(!screen.text().contains("went on"));
    until("a free lock", async || Ok(database.token("v-1").await?.is_none().then_some(()))).await?;
    Ok(())
}

/// In a pipeline the terminal stays with the others. Ctrl-C reaches the command all the same.
#[tokio::test]
async fn in_a_pipeline_ctrl_c_is_passed_on() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = r#"trap : INT; $V lock volume/v-1 -- sh -c 'trap "echo caught; exit 3" INT; echo ready
        while :; do sleep 0.1; done' | { trap '' INT; sed -u 's/^/piped /'; }"#;
    let mut screen = shell(&database, script)?;
    screen.until_text("piped ready")?;
    screen.type_in("\u{3}")?;
    screen.until_text("piped caught")?;
    screen.end()?;
    Ok(())
}

#[tokio::test]
async fn ctrl_z_stops_the_command_and_the_lock_stays() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let dir = std::env::temp_dir().join(format!("volguard-cli-{}", volguard::uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&dir)?;
    std::fs::write(dir.join("reads"), READS_WHEN_CONTINUED)?;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("HISTFILE", "").env("DIR", &dir);
    bash.env("DATABASE_URL", database.url()).env("V", env!("CARGO_BIN_EXE_volguard"));
    let mut screen = Screen::start(bash, 80, 24)?;
    screen.until_text("$ ")?;
    screen.type_in("$V lock --lease 12s volume/v-1 -- sh $DIR/reads\r")?;
    screen.until("the command", |text| text.lines().any(|line| line.trim() == "ready"))?;
    let token = database.token("v-1").await?;
    screen.type_in("\u{1a}")?;
    screen.until_text("Stopped")?;
    // The session goes on: another heartbeat comes.
    let look = "SELECT (extract(epoch FROM max(heartbeat_at)) * 1e6)::bigint FROM volguard.service_status";
    let before = database.number(look).await?;
    until("a heartbeat", async || Ok((database.number(look).await? > before).then_some(()))).await?;
    screen.type_in("fg\r")?;
    screen.until("the command again", |text| text.lines().any(|line| line.trim() == "again"))?;
    screen.type_in("hello\r")?;
    screen.until_text("got hello")?;
    assert!(token.is_some());
    until("a free lock", async || Ok(database.token("v-1").await?.is_none().then_some(()))).await?;
    screen.type_in("exit\r")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(std::fs::remove_dir_all(&dir)?)
}

/// No shell would continue it: the script has no job control, and leads its session.
#[tokio::test]
async fn ctrl_z_without_a_shell_stops_nothing() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = format!(r#"$V lock volume/v-1 -- sh -c '{READS_WHEN_CONTINUED}'; echo "code $?""#);
    let mut screen = shell(&database, &script)?;
    screen.until_text("ready")?;
    screen.type_in("\u{1a}")?;
    screen.until_text("again")?;
    screen.type_in("hello\r")?;
    screen.until_text("code 0")?;
    screen.end()?;
    Ok(())
}
