//! Failures that a program can't mend.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::super::line::Line;
use super::super::stage::{HOST, Stage};
use super::Verdict;
use crate::scenario::Route;

const LEASE: Duration = Duration::from_secs(10);

pub(super) async fn hopeless(stage: &mut Stage) -> Verdict {
    let database = stage.admin.text("SELECT current_database()").await?.context("never NULL")?;
    let mut cases = vec![("a database without volguard", stage.url_of("postgres", "manager"))];
    // A pooler reports a wrong password as it reports a server that is down.
    if stage.route() == Route::Direct {
        cases.push(("a wrong password", stage.url_of(&database, "wrong")));
    }
    let count = cases.len();
    for (case, url) in cases {
        let mut program = stage.program_at(url, HOST, LEASE)?;
        program.exits_with(1).await.context(case)?;
        ensure!(!program.errors().concat().trim().is_empty(), "{case}: nothing on stderr");
        let registered = program.count(|line| matches!(line, Line::Registered(_)));
        ensure!(registered == 0, "{case}: it said that it has registered");
    }
    Ok(format!("{count} hopeless starts ended with 1 and a message"))
}
