//! The examples run, and do what they are there to show.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

fn example(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "-p", "volguard"]);
    command.args(["--example", name, "--"]);
    command
}

/// What it has printed, line by line.
fn printed(output: &Output) -> Vec<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn a_lock_is_taken_once_and_given_back() {
    let printed = printed(&example("lock").output().expect("cargo"));
    let [locked, rest @ ..] = &printed[..] else {
        panic!("nothing was printed");
    };
    assert!(locked.starts_with("vol-17 is locked, token "), "{locked}");
    let expected = ["granted a second time: false", "4 MiB copied", "released: true"];
    assert_eq!(rest, expected);
}

#[test]
fn an_update_says_what_is_unmet() {
    let printed = printed(&example("update").output().expect("cargo"));
    let [deleted, rest @ ..] = &printed[..] else {
        panic!("nothing was printed");
    };
    assert!(deleted.starts_with("delete vol-1: done"), "{deleted}");
    let expected = [
        "delete vol-1: refused for status",
        "delete vol-2: refused for status, attached_to, filter",
        "delete vol-3: no such volume",
    ];
    assert_eq!(rest, expected);
}

/// A running manager. Dropped, it is killed.
struct Manager {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Manager {
    fn start(url: &str, host: &str) -> Manager {
        let mut command = example("manager");
        let mut child = command.env("DATABASE_URL", url).arg(host).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Manager { child, lines: Box::new(lines.map_while(Result::ok)) }
    }

    /// Reads on until it prints a line that begins so.
    fn until(&mut self, beginning: &str) -> String {
        let line = self.lines.find(|line| line.starts_with(beginning));
        line.unwrap_or_else(|| panic!("it has ended without `{beginning}`"))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a manager and kills it in the middle of its work. False if it was too fast.
async fn is_killed_in_its_work(url: &str, client: &Client) -> bool {
    let name = format!("manager-{}", Uuid::new_v4().simple());
    let separator = if url.contains('?') { '&' } else { '?' };
    let mut killed = Manager::start(&format!("{url}{separator}application_name={name}"), "node-1");
    killed.until("extending vol-1");
    // SIGKILL.
    drop(killed);
    // The server may still be busy with what it has sent.
    const CONNECTED: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    while client.query_one(CONNECTED, &[&name]).await.unwrap().get::<_, i64>(0) > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let status = "SELECT status FROM volguard_example.volumes";
    client.query_one(status, &[]).await.unwrap().get::<_, String>(0) == "extending"
}

#[tokio::test]
async fn a_manager_takes_over_from_one_that_was_killed() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let drop_tables = "DROP SCHEMA IF EXISTS volguard_example CASCADE";
    client.batch_execute(drop_tables).await.unwrap();

    while !is_killed_in_its_work(&url, &client).await {
        let again = "UPDATE volguard_example.volumes SET status = 'waiting', size = 1";
        client.batch_execute(again).await.unwrap();
    }
    let mut survivor = Manager::start(&url, "node-2");
    survivor.until("vol-1 was extending");
    survivor.until("extending vol-1");
    assert_eq!(survivor.until("extended"), "extended vol-1: true");
    let pid = Pid::from_raw(survivor.child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    survivor.until("node-2 has left");
    assert!(survivor.child.wait().unwrap().success());

    let size = "SELECT size FROM volguard_example.volumes";
    let size: i32 = client.query_one(size, &[]).await.unwrap().get(0);
    assert_eq!(size, 2, "it was extended once");
    client.batch_execute(drop_tables).await.unwrap();
}
