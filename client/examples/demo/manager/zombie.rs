//! What a manager without a clock of its own would do when it wakes up after the end of its lease: go on.
//!
//! The client of volguard refuses to send anything under a lost lock, and `Held::run` has ended the work already. But
//! safety does not depend on the client: here a manager that is fenced sends by hand what its lock had allowed.

use anyhow::{Result, ensure};
use volguard::Connection;

use super::Manager;
use crate::storage::{Handle, StorageError};

pub(super) async fn go_on(
    manager: &Manager,
    (service, token): (i64, i64),
    name: &str,
    mut volume: Handle<'_>,
) -> Result<()> {
    let client = manager.volguard.connection().await?;
    let sql = "SELECT FROM volguard.service_status WHERE service_id = $1 AND state <> 'fenced'";
    if client.query_opt(sql, &[&service]).await?.is_some() {
        // A heartbeat could still bring this service back to life: it is no zombie.
        return Ok(());
    }
    // What the storage makes of it is for the checker to judge.
    let mut story = match volume.write(|_| Ok(())) {
        Err(StorageError::Refused(_)) => "storage refuses the write".to_owned(),
        written => written.map(|()| "storage TAKES the write".to_owned())?,
    };
    for (verb, arguments, refusal) in calls(service, token, name) {
        let answer = answer(&client, verb, &arguments).await?;
        ensure!(
            answer.trim_start_matches('(').starts_with(refusal),
            "a dead service was let through: {verb} by token {token} of {name} answers {answer}"
        );
        story += &format!(", {verb}: {refusal}");
    }
    manager.timeline.say(&format!("as a zombie on {name}: {story}"));
    Ok(())
}

/// Calls of the extension, as a client in any language can send them, and how each has to be answered.
fn calls(service: i64, token: i64, volume: &str) -> [(&'static str, String, &'static str); 6] {
    let changes = r#"'{"size": 666}'"#;
    let row = format!(r#"'volguard_demo.volumes', '{{"name": "{volume}"}}'"#);
    // A key of its own, which is free.
    let key = format!("'volguard_demo.free', '{token}'");
    [
        ("heartbeat", format!("{service}"), "VG001"),
        ("acquire", format!("{service}, {key}"), "VG001"),
        ("assert_held", format!("{token}"), "VG002"),
        ("conditional_update", format!("{row}, {changes}, fence => {token}"), "fenced"),
        ("finish_work", format!("{token}, {changes}"), "fenced"),
        ("release", format!("{token}"), "false"),
    ]
}

/// What the server answers: a value, or an SQLSTATE.
async fn answer(client: &Connection, verb: &str, arguments: &str) -> Result<String> {
    let sql = format!("SELECT volguard.{verb}({arguments})::text");
    match client.query_one(&sql, &[]).await {
        Ok(row) => Ok(row.try_get::<_, Option<_>>(0)?.unwrap_or_default()),
        Err(error) => match error.code() {
            Some(code) => Ok(code.code().to_owned()),
            None => Err(error.into()),
        },
    }
}
