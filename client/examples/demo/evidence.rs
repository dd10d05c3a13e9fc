//! What the checker of the tests gets: what the managers have asked of the storage and how they were answered (their
//! logs), what took effect in the storage, in order (its journal), and how everything should have ended and did.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use volguard::Volguard;
use volguard_tests::history::{Answer, Ending, History, calls};

use crate::fault::Fault;
use crate::schema::{CLUSTER, VOLUME};
use crate::storage::{Array, Files, describe};
use crate::volume::Volume;

/// To be read when all managers have ended. No faults are told of a play that did not come to its end.
pub async fn read(volguard: &Volguard, directory: &Path, faults: Option<&[Fault]>) -> Result<History> {
    let mut history = History {
        journal: Array::journal(directory)?,
        endings: volumes(volguard, directory).await?,
        ..History::default()
    };
    for log in fs::read_dir(directory.join("logs"))? {
        let log = log?.path();
        let process = log.file_name().context("a log without a name")?;
        let calls = calls(&process.to_string_lossy(), &log)?;
        history.calls.extend(calls);
    }
    let endings = &mut history.endings;
    endings.push(ending("locks", "none", locks(volguard).await?));
    let end = faults.map_or("cut off: it took too long", |_| "over");
    endings.push(ending("the demo", "over", end.to_owned()));
    if faults.is_some_and(|faults| !faults.is_empty()) {
        // It has to have tried, or nothing is shown.
        let mut calls = history.calls.iter();
        let is_refused = calls.any(|call| call.answer == Answer::Refused);
        let found = if is_refused { "refused" } else { "not refused" };
        endings.push(ending("a zombie's write", "refused", found.to_owned()));
    }
    Ok(history)
}

fn ending(key: &str, recorded: &str, found: String) -> Ending {
    Ending { key: key.to_owned(), recorded: recorded.to_owned(), found }
}

/// Each volume in the database and on disk.
async fn volumes(volguard: &Volguard, directory: &Path) -> Result<Vec<Ending>> {
    let array = Array::lock(directory)?;
    let compare = |row: Volume| {
        let recorded = match &*row.status {
            "deleted" | "error" => "no file".to_owned(),
            "available" => describe(row.size as f64, row.snapshots),
            busy => format!("{busy}, in the middle of {}", row.task),
        };
        let recorded = format!("{recorded}, token {}", row.token.unwrap_or_default());
        let found = Files::new(directory, &row.name).describe()?;
        let found = format!("{found}, token {}", array.register(&row.name).written_by);
        Ok(ending(&row.name, &recorded, found))
    };
    let rows = Volume::all(volguard).await?;
    rows.into_iter().map(compare).collect()
}

/// Of this play: one without locks leaves some of other types, when it is cut off.
async fn locks(volguard: &Volguard) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(concat_ws(' ', resource_type, resource_id, host), ', '), 'none') \
               FROM volguard.lock_status WHERE cluster = $1 AND resource_type = $2";
    let client = volguard.connection().await?;
    Ok(client.query_one(sql, &[&CLUSTER, &VOLUME]).await?.try_get(0)?)
}
