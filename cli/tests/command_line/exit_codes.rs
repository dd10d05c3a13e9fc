//! What the exit codes say.

use crate::support::{Database, Program, ended, run};
use volguard_tests::scenario::until;

async fn lock(url: &str, command: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    Ok(ended(&run(url, &[&["lock", "volume/v-1", "--"], command].concat()).await?))
}

#[tokio::test]
async fn the_code_of_the_command_comes_through() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let url = database.url();
    let quiet = |code| (Some(code), String::new(), String::new());
    assert_eq!(lock(&url, &["true"]).await?, quiet(0));
    assert_eq!(lock(&url, &["sh", "-c", "exit 7"]).await?, quiet(7));
    assert_eq!(lock(&url, &["sh", "-c", "kill -KILL $$"]).await?, quiet(128 + 9));
    let (code, _, told) = lock(&url, &["no-such-program"]).await?;
    assert!(code == Some(127) && told.contains("no-such-program"), "{code:?} {told}");
    let (code, _, told) = lock(&url, &["/dev/null"]).await?;
    assert!(code == Some(126) && told.contains("/dev/null"), "{code:?} {told}");
    assert_eq!(database.number("SELECT count(*) FROM volguard.lock_status").await?, 0);
    // Nothing counts as crashed.
    assert_eq!(database.number("SELECT count(*) FROM volguard.service_status WHERE state <> 'fenced'").await?, 0);
    Ok(())
}

/// A code of the command that is also one of the program's own.
#[tokio::test]
async fn a_code_that_could_be_taken_for_another_is_told() -> anyhow::Result<()> {
    let database = Database::new().await?;
    for own in 112..=117 {
        let (code, _, told) = lock(&database.url(), &["sh", "-c", &format!("exit {own}")]).await?;
        assert_eq!(code, Some(own));
        assert_eq!(told, format!("volguard: the command itself has ended with the code {own}\n"));
    }
    Ok(())
}

#[tokio::test]
async fn the_command_has_the_token_of_its_lock() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = "echo $VOLGUARD_TOKEN > $DIR/token; until [ -e $DIR/done ]; do sleep 0.05; done";
    let mut program = Program::start(&database.url(), &["--lock-name", "copy"], "", script)?;
    let told = until("the token", async || Ok(program.said("token").filter(|text| text.ends_with('\n')))).await?;
    assert_eq!(Some(told.trim().parse()?), database.token("v-1").await?);
    let lock = "SELECT concat_ws(' ', lock_name, details ->> 'program', details ->> 'pid') FROM volguard.lock_status";
    assert_eq!(database.sql.text(lock).await?, Some(format!("copy sh {}", program.pid())));
    std::fs::write(program.dir.join("done"), "")?;
    assert_eq!(program.code().await?, (Some(0), String::new()));
    Ok(())
}

#[tokio::test]
async fn busy_is_told_and_a_wait_gets_the_lock() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let script = "touch $DIR/runs; until [ -e $DIR/done ]; do sleep 0.05; done";
    let mut first = Program::start(&database.url(), &[], "", script)?;
    until("the command", async || Ok(first.said("runs"))).await?;
    let (code, _, told) = lock(&database.url(), &["true"]).await?;
    assert_eq!((code, told.as_str()), (Some(112), "volguard: busy: the lock of volume/v-1 is held\n"));
    let waited = run(&database.url(), &["lock", "volume/v-1", "--wait", "200ms", "--", "true"]).await?;
    assert_eq!(waited.status.code(), Some(112));
    // The same resource under another name is another lock.
    let other = run(&database.url(), &["lock", "volume/v-1", "--lock-name", "other", "--", "true"]).await?;
    assert_eq!(other.status.code(), Some(0));
    let mut second = Program::start(&database.url(), &["--wait", "1h"], "", "exit 3")?;
    let waits = "SELECT count(*) FROM volguard.waiters";
    until("a waiter", async || Ok((database.number(waits).await? == 1).then_some(()))).await?;
    std::fs::write(first.dir.join("done"), "")?;
    assert_eq!(first.end().await?.code(), Some(0));
    assert_eq!(second.code().await?, (Some(3), String::new()));
    Ok(())
}

#[tokio::test]
async fn unreachable_refused_and_usage_are_told_apart() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let url = database.url();
    let (code, _, told) = lock("host=127.0.0.1 port=1 user=x", &["true"]).await?;
    assert!(code == Some(114) && told.starts_with("volguard: unreachable: "), "{code:?} {told}");
    let nowhere = url.replace("dbname='cli-", "dbname='no-");
    let (code, _, told) = lock(&nowhere, &["true"]).await?;
    assert!(code == Some(115) && told.contains("3D000"), "{code:?} {told}");
    database.sql.run("DROP EXTENSION volguard").await?;
    for arguments in [&["lock", "volume/v-1", "--", "true"][..], &["status"], &["free", "volume/v-1", "--reason", "x"]]
    {
        let (code, _, told) = ended(&run(&url, arguments).await?);
        assert!(code == Some(115) && told.contains("CREATE EXTENSION volguard"), "{code:?} {told}");
    }
    for wrong in [&["lock", "volume", "--", "true"][..], &["lock", "volume/v-1"], &["no"], &["top"]] {
        assert_eq!(run(&url, wrong).await?.status.code(), Some(116), "{wrong:?}");
    }
    assert_eq!(run(&url, &["--help"]).await?.status.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_grace_that_is_too_long_is_refused() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let options = ["lock", "volume/v-1", "--lease", "10s", "--grace", "5s", "--", "true"];
    let (code, _, told) = ended(&run(&database.url(), &options).await?);
    assert_eq!((code, told.as_str()), (Some(116), "volguard: usage: --grace: 4s at most, four tenths of the lease\n"));
    Ok(())
}
