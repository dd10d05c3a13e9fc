//! Changes a row only if it is as expected, and says what is not.
//!
//!     DATABASE_URL=postgresql://... cargo run -p volguard --example update

use anyhow::{Context, Result};
use volguard::update::{column, exists, is, not, one_of, outer};
use volguard::{ConditionalUpdate, UpdateOutcome, Volguard};

const TABLES: &str = "
    CREATE SCHEMA update_example;
    CREATE TABLE update_example.volumes (id text PRIMARY KEY, size integer, status text, attached_to text);
    CREATE TABLE update_example.snapshots (id text PRIMARY KEY, volume_id text REFERENCES update_example.volumes);
    INSERT INTO update_example.volumes VALUES ('vol-1', 10, 'available', NULL), ('vol-2', 10, 'in-use', 'web');
    INSERT INTO update_example.snapshots VALUES ('snap-1', 'vol-2');";

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let volguard = Volguard::connect(&url).await?;
    let connection = volguard.connection().await?;
    connection.batch_execute(TABLES).await?;
    for volume in ["vol-1", "vol-1", "vol-2", "vol-3"] {
        println!("delete {volume}: {}", ask(delete(&volguard, volume)).await?);
    }
    connection.batch_execute("DROP SCHEMA update_example CASCADE").await?;
    Ok(())
}

/// Everything that has to hold of a volume for it to be deleted. Of several requests at once only one finds it so.
fn delete(volguard: &Volguard, volume: &str) -> ConditionalUpdate {
    volguard
        .update("update_example.volumes")
        .key("id", volume)
        .expect("status", one_of(["available", "error"]))
        // NULL is a value like any other: a volume that is attached to nothing matches.
        .expect("attached_to", not("web"))
        .unless(exists("update_example.snapshots", is("volume_id", outer("id"))))
        .set("status", "deleting")
        .set("size", column("size") - 1)
}

async fn ask(update: ConditionalUpdate) -> Result<String> {
    Ok(match update.await? {
        UpdateOutcome::Updated(row) => format!("done, {}", row.as_json()),
        // All conditions that do not hold, judged at one moment under the row's lock.
        UpdateOutcome::Unmet(conditions) => format!("refused for {}", conditions.join(", ")),
        UpdateOutcome::NotFound => "no such volume".to_owned(),
        other => format!("{other:?}"),
    })
}
