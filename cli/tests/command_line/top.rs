//! The live screen, on a terminal.

use crate::commands::play;
use crate::support::Database;
use crate::support::screen::Screen;
use rustix::process::{Pid, Signal, kill_process};
use std::process::Command;
use volguard_tests::scenario::{Cut, Proxy};

fn top(url: &str, columns: u16, rows: u16) -> anyhow::Result<Screen> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volguard"));
    command.args(["top", "--interval", "200ms"]).env("DATABASE_URL", url);
    Screen::start(command, columns, rows)
}

async fn scene() -> anyhow::Result<Database> {
    let database = Database::new().await?;
    play(&database).await?;
    Ok(database)
}

async fn fits(columns: u16, rows: u16) -> anyhow::Result<()> {
    let database = scene().await?;
    let mut screen = top(&database.url(), columns, rows)?;
    let parts = ["1 CLUSTERS 2", "2 SERVICES 3", "3 LOCKS 5", "4 WAITERS 0", "5 WAITING WORK 3", "6 EVENTS"];
    let words = ["node-3", "down", "dead", "volume/v-1", "extending", "volume/v-10", "delete", "forced", "q quit"];
    // It may be seen while it is being drawn.
    screen.until("all parts, on all lines", |text| {
        let is_whole = parts.iter().chain(&words).all(|part| text.contains(part));
        is_whole && text.lines().count() == usize::from(rows)
    })?;
    screen.type_in("q")?;
    assert_eq!(screen.end()?.code(), Some(0));
    screen.until_restored()
}

#[tokio::test]
async fn all_parts_fit_into_80_by_24() -> anyhow::Result<()> {
    fits(80, 24).await
}

#[tokio::test]
async fn all_parts_fit_into_100_by_30() -> anyhow::Result<()> {
    fits(100, 30).await
}

#[tokio::test]
async fn it_follows_what_happens_and_the_size_of_the_terminal() -> anyhow::Result<()> {
    let database = scene().await?;
    let mut screen = top(&database.url(), 80, 24)?;
    screen.until_text("3 LOCKS 5")?;
    database.sql.run("SELECT volguard.force_release('volume', 'v-2', NULL, reason => 'x')").await?;
    screen.until_text("3 LOCKS 4")?;
    screen.resize(40, 10)?;
    screen.until("fewer lines", |text| text.lines().count() <= 10 && text.contains("6 EVENTS"))?;
    screen.resize(120, 40)?;
    screen.until("more columns", |text| text.contains("SERVICE  ") && text.lines().count() == 40)?;
    // A part alone, and all again.
    screen.type_in("2")?;
    screen.until("services alone", |text| text.contains("2 SERVICES") && !text.contains("3 LOCKS"))?;
    screen.type_in("0")?;
    screen.until_text("3 LOCKS")?;
    screen.type_in("?")?;
    screen.until_text("scroll the part in focus")?;
    screen.type_in("?q")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn rows_are_filtered_and_sorted() -> anyhow::Result<()> {
    let database = scene().await?;
    let mut screen = top(&database.url(), 80, 24)?;
    screen.until_text("3 LOCKS 5")?;
    screen.type_in("/NODE-2")?;
    screen.until("two locks", |text| text.contains("3 LOCKS 2") && text.contains("2 SERVICES 1"))?;
    screen.type_in("\r")?;
    screen.until("the filter", |text| text.contains("filter: NODE-2") && text.contains("q quit"))?;
    screen.type_in("\u{1b}")?;
    screen.until_text("3 LOCKS 5")?;
    // The ids in their order: without a choice the dead come first.
    let ids = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("volume/") || line.starts_with("snapshot/"));
        rows.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect()
    };
    screen.type_in("3")?;
    screen.until("locks alone, the dead ones first", |text| {
        let ids = ids(text);
        text.contains("3 LOCKS 5") && ids.len() == 5 && ids[..2] == ["volume/v-3", "volume/v-4"]
    })?;
    screen.type_in("s")?;
    screen.until("an order", |text| {
        let up = ["snapshot/s-1", "volume/v-1", "volume/v-2", "volume/v-3", "volume/v-4"];
        text.contains("sorted by RESOURCE, up") && ids(text) == up
    })?;
    screen.type_in("r")?;
    screen.until("the other order", |text| {
        text.contains("RESOURCE, down") && ids(text).first().is_some_and(|id| id == "volume/v-4")
    })?;
    screen.type_in("\u{1b}[B\u{1b}[B")?;
    screen.until("rows scrolled away", |text| ids(text).len() == 3 && text.contains("↑2"))?;
    screen.type_in("\u{3}")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_lost_connection_is_told_and_replaced() -> anyhow::Result<()> {
    let database = scene().await?;
    let proxy = Proxy::in_front_of(crate::support::port()).await?;
    let url = database.by_port(proxy.port());
    // The proxy runs meanwhile: what waits for the screen waits in a thread of its own.
    let screen = blocking(move || {
        let screen = top(&url, 80, 24)?;
        screen.until_text("3 LOCKS 5")?;
        Ok(screen)
    });
    let screen = screen.await?;
    proxy.refuse(true);
    // There may be two connections.
    let cut_all = async {
        loop {
            proxy.cut(0, Cut::Request);
            proxy.struck().await;
        }
    };
    let told = blocking(move || {
        // What was there stays to be read.
        let words = ["no answer for", "trying again", "volume/v-1"];
        screen.until("what is wrong", |text| words.iter().all(|word| text.contains(word)))?;
        Ok(screen)
    });
    let mut screen = tokio::select! {
        screen = told => screen?,
        () = cut_all => unreachable!("it goes on"),
    };
    database.sql.run("SELECT volguard.force_release('volume', 'v-2', NULL, reason => 'x')").await?;
    proxy.refuse(false);
    let code = blocking(move || {
        screen.until("what happened since", |text| text.contains("3 LOCKS 4") && !text.contains("no answer"))?;
        screen.type_in("q")?;
        Ok(screen.end()?.code())
    });
    assert_eq!(code.await?, Some(0));
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[tokio::test]
async fn a_signal_leaves_the_terminal_as_it_was() -> anyhow::Result<()> {
    let database = scene().await?;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut screen = top(&database.url(), 80, 24)?;
        screen.until_text("3 LOCKS 5")?;
        assert!(screen.screen().alternate_screen());
        kill_process(Pid::from_raw(screen.pid()).expect("a process"), signal)?;
        assert_eq!(screen.end()?.code(), Some(128 + signal.as_raw()));
        screen.until_restored()?;
    }
    Ok(())
}

/// It stops with the script that runs it, so that the shell sees it, and comes back.
#[tokio::test]
async fn ctrl_z_stops_it_and_its_script() -> anyhow::Result<()> {
    let database = scene().await?;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("HISTFILE", "");
    bash.env("DATABASE_URL", database.url()).env("V", env!("CARGO_BIN_EXE_volguard"));
    let mut screen = Screen::start(bash, 80, 24)?;
    screen.until_text("$ ")?;
    screen.type_in("sh -c '$V top; echo \"code $?\"'\r")?;
    screen.until_text("3 LOCKS 5")?;
    screen.type_in("\u{1a}")?;
    screen.until_restored()?;
    screen.until_text("Stopped")?;
    screen.type_in("fg\r")?;
    screen.until_text("3 LOCKS 5")?;
    screen.type_in("q")?;
    screen.until_restored()?;
    screen.until_text("code 0")?;
    screen.type_in("exit\r")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(())
}

/// A process that is stopped where no shell continues it would hang for ever.
#[tokio::test]
async fn ctrl_z_without_a_shell_stops_nothing() -> anyhow::Result<()> {
    let database = scene().await?;
    let mut screen = top(&database.url(), 80, 24)?;
    screen.until_text("3 LOCKS 5")?;
    screen.type_in("\u{1a}3")?;
    screen.until("locks alone", |text| text.contains("3 LOCKS 5") && !text.contains("2 SERVICES"))?;
    screen.type_in("q")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(())
}

/// What is wrong from the beginning is told as by any other command.
#[tokio::test]
async fn a_role_without_rights_sees_no_screen() -> anyhow::Result<()> {
    let database = scene().await?;
    let role =
        "DO $$ BEGIN CREATE ROLE cli_blind LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$";
    database.sql.run(role).await?;
    database.sql.run("ALTER ROLE cli_blind PASSWORD 'guest'").await?;
    let mut screen = top(&format!("{} user=cli_blind password=guest", database.url()), 100, 24)?;
    assert_eq!(screen.end()?.code(), Some(115));
    screen.until("the reason", |text| text.contains("42501") && text.contains("grant_monitoring"))?;
    assert!(!screen.bytes().windows(8).any(|bytes| bytes == b"\x1b[?1049h"));
    Ok(())
}

/// However small the terminal is, and however fast it changes.
#[tokio::test]
async fn no_size_of_the_terminal_ends_it() -> anyhow::Result<()> {
    let database = scene().await?;
    let mut screen = top(&database.url(), 80, 24)?;
    screen.until_text("3 LOCKS 5")?;
    for step in 0..200_u16 {
        // A terminal of none is one whose size is not known.
        let (columns, rows) = (step * 7 % 23 * 9, step * 5 % 17);
        rustix::termios::tcsetwinsize(screen.keyboard(), crate::support::screen::size(columns, rows))?;
        if step % 10 == 0 {
            screen.type_in("12?3s\u{1b}[B0")?;
        }
    }
    screen.resize(80, 24)?;
    screen.until("all parts", |text| text.contains("3 LOCKS 5") && text.contains("6 EVENTS"))?;
    screen.type_in("q")?;
    assert_eq!(screen.end()?.code(), Some(0));
    screen.until_restored()
}
