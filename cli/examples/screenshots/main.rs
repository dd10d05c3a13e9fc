//! Makes the pictures of the manual: a scene on the server of `DATABASE_URL`, and the program `volguard` on a terminal.
//!
//! `with-postgres -- cargo run -p volguard-cli --example screenshots`, after `cargo build -p volguard-cli`.

#[path = "../../tests/command_line/support/screen.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod screen;
mod svg;

use anyhow::Context;
use screen::Screen;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use tokio::time::{Duration, sleep};
use volguard_tests::scenario::{Sql, until};

const SCENE: &str = include_str!("../../tests/command_line/scene.sql");

/// Ends with the pictures.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It gives its lock back before the next one.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL; run it under with-postgres")?;
    let program = program()?;
    let sql = Sql::connect(&url).await?;
    sql.run(SCENE).await?;
    let lock = |host: &str, wait: &str, command: &[&str]| {
        let arguments = ["lock", "volume/v-7", "--host", host, "--wait", wait, "--"];
        Command::new(&program).args(arguments).args(command).spawn()
    };
    let mut running = Running(vec![lock("backup-1", "0s", &["sleep", "600"])?]);
    let count = async |look: &str| anyhow::Ok(sql.number(look).await?.unwrap_or_default());
    let held = "SELECT count(*) FROM volguard.lock_status WHERE resource_id = 'v-7'";
    until("the lock", async || Ok((count(held).await? == 1).then_some(()))).await?;
    for (at, host) in [(1, "backup-2"), (2, "backup-3")] {
        running.0.push(lock(host, "1h", &["true"])?);
        let waiting = "SELECT count(*) FROM volguard.waiters";
        until("a waiter", async || Ok((count(waiting).await? == at).then_some(()))).await?;
    }
    // Times that are not all zero. The managers of the scene go on meanwhile.
    sleep(Duration::from_secs(4)).await;
    sql.run("SELECT volguard.heartbeat(service_id) FROM volguard.service_status WHERE state = 'up'").await?;
    sleep(Duration::from_secs(2)).await;
    let pictures: [(&str, &[&str], u16, u16); 4] = [
        ("top", &["top"], 100, 30),
        ("status", &["status"], 100, 24),
        ("who", &["who", "volume/v-7"], 100, 14),
        ("waiters", &["waiters"], 100, 5),
    ];
    for (name, arguments, columns, rows) in pictures {
        take(&program, name, arguments, columns, rows)?;
    }
    Ok(())
}

/// Beside the examples of this build.
fn program() -> anyhow::Result<PathBuf> {
    let examples = std::env::current_exe()?;
    let program = examples.ancestors().nth(2).context("the folder of the build")?.join("volguard");
    anyhow::ensure!(program.exists(), "{}: cargo build -p volguard-cli", program.display());
    Ok(program)
}

fn take(program: &Path, name: &str, arguments: &[&str], columns: u16, rows: u16) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    let mut screen = Screen::start(command, columns, rows)?;
    if name == "top" {
        screen.until_text("6 EVENTS")?;
    } else {
        screen.end()?;
        screen.until("the output", |text| !text.is_empty())?;
    }
    let shown = screen.screen();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
    std::fs::create_dir_all(&images)?;
    let line = format!("volguard {}", arguments.join(" "));
    std::fs::write(images.join(format!("{name}.svg")), svg::picture(&shown, &line))?;
    let text: Vec<String> = shown.contents().lines().map(|line| line.trim_end().to_owned()).collect();
    println!("$ {line}\n{}\n", text.join("\n").trim_end());
    if name == "top" {
        screen.type_in("q")?;
        screen.end()?;
    }
    Ok(())
}
