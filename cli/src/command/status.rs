//! `volguard status`

use super::print;
use crate::args::{Database, Shown};
use crate::error::Failure;
use crate::query;
use crate::section::{CLUSTERS, Choice, LOCKS, SERVICES};

/// How many rows of each kind people look at; the rest is counted.
const MOST: i64 = 50;

/// Clusters, services and locks.
pub(crate) async fn status(database: &Database, shown: &Shown) -> Result<(), Failure> {
    let volguard = query::open(database).await?;
    let mut connection = volguard.connection().await?;
    let transaction = query::reading(&mut connection).await?;
    if shown.json {
        let mut parts = Vec::new();
        for section in [&CLUSTERS, &SERVICES, &LOCKS] {
            parts.push(format!("\"{}\": {}", section.name, query::json(&transaction, section, i64::MAX).await?));
        }
        return print::json(&format!("{{{}}}", parts.join(",\n")));
    }
    let mut tables = Vec::new();
    for section in [&CLUSTERS, &SERVICES, &LOCKS] {
        let (rows, all) = query::rows(&transaction, section, &Choice::default(), "", MOST).await?;
        tables.push(print::table(section, &rows, all));
    }
    print::out(&tables.join("\n"))
}
