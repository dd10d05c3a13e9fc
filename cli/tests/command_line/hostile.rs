//! Text of others that would command the terminal: names of roles and databases, details and reasons.

use crate::support::screen::Screen;
use crate::support::{Database, run};
use std::process::Command;
use volguard::uuid::Uuid;

/// Sets the title of the window.
const TITLE: &str = "\u{1b}]0;owned\u{7}";
/// The same for a terminal that knows Latin-1's control characters.
const LATIN: &str = "\u{9b}31m";

/// A database with such a name in which a role with such a name has done things.
async fn hostile() -> anyhow::Result<Database> {
    let tag = Uuid::new_v4().simple().to_string();
    let database = Database::named(&format!("d{TITLE}{}", &tag[..8])).await?;
    let role = format!("r{TITLE}{LATIN}");
    let steps = [
        // Roles belong to the whole server: both tests use it.
        format!("DO $$ BEGIN CREATE ROLE \"{role}\"; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$"),
        format!("SELECT volguard.grant_operator('{role}')"),
        format!("SET ROLE \"{role}\""),
        "SELECT volguard.register_service('node-1', 'manager', cluster => 'ceph')".to_owned(),
        "SELECT volguard.acquire(service_id, 'volume', id, details => jsonb_build_object('a', E'\\x1b]0;owned\\x07')) \
         FROM volguard.service_status, (VALUES ('v-1'), ('v-2')) AS v (id)"
            .to_owned(),
        "SELECT volguard.force_release('volume', 'v-2', NULL, reason => 'a reason')".to_owned(),
        "RESET ROLE".to_owned(),
        // What a superuser, or a restored dump, may leave.
        "UPDATE volguard.events SET details = jsonb_build_object('reason', E'\\x1b]0;owned\\x07')".to_owned(),
        "UPDATE volguard.workers SET status = E'\\x1b]0;owned\\x07', resource_id = E'v\\x1b]0;owned\\x07'".to_owned(),
    ];
    for step in &steps {
        database.sql.run(step).await?;
    }
    Ok(database)
}

#[tokio::test]
async fn no_control_character_reaches_the_terminal() -> anyhow::Result<()> {
    let database = hostile().await?;
    let hostile = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    for arguments in [&["status"][..], &["who", "volume/v-1"], &["waiters"], &["events"], &["cleanup"]] {
        for json in [&[][..], &["--json"]] {
            let output = run(&database.url(), &[arguments, json].concat()).await?;
            let (said, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
            assert!(!hostile(&said) && !hostile(&told), "{arguments:?}: {said:?} {told:?}");
            assert_eq!(output.status.code(), Some(0), "{arguments:?} {told}");
        }
    }
    let status = String::from_utf8(run(&database.url(), &["status"]).await?.stdout)?;
    assert!(status.contains(r"\u{1b}]0;owned"), "{status}");
    // An error that has it too.
    let refused = run(&database.url(), &["free", "volume/\u{1b}]0;owned\u{7}", "--reason", TITLE]).await?;
    assert_eq!(refused.status.code(), Some(115));
    assert!(!hostile(&String::from_utf8(refused.stderr)?));
    Ok(())
}

#[tokio::test]
async fn nor_on_the_live_screen() -> anyhow::Result<()> {
    let database = hostile().await?;
    let mut program = Command::new(env!("CARGO_BIN_EXE_volguard"));
    program.arg("top").env("DATABASE_URL", database.url());
    let mut screen = Screen::start(program, 120, 30)?;
    let words = [r"d\u{1b}]0;owned\u{7}", r"v\u{1b}]0;owned\u{7}", r"r\u{1b}]0;owned\u{7}\u{9b}31m", "forced"];
    screen.until("all parts", |text| words.iter().all(|word| text.contains(word)))?;
    let written = screen.bytes();
    for hostile in [TITLE.as_bytes(), LATIN.as_bytes(), b"\x1b]"] {
        assert!(!written.windows(hostile.len()).any(|window| window == hostile));
    }
    screen.type_in("q")?;
    assert_eq!(screen.end()?.code(), Some(0));
    Ok(())
}
