//! The cost of `conditional_update` beside the same update in hand-written SQL. All return the new row as JSON.

use anyhow::Result;
use serde_json::{Value, json};

use crate::options::Options;
use crate::score::Score;
use crate::stage::Stage;
use crate::target::Goal;
use crate::visitor::Parameter::{Changes, Document, Key, Status, Volume};
use crate::visitor::{Method, compare};

pub const NAME: &str = "updates";
/// The conditions stand in the statement, which asks for the new row alone, as the SQL by hand does.
const STATEMENT: &str = "in the statement";
/// All documents are parameters of a statement that asks for the outcome,
/// the row and the unmet conditions, as the Rust client sends it.
const PARAMETERS: &str = "as parameters";
const BY_HAND: &str = "by hand";
/// With the row locked first, in its own statement, as `conditional_update` does: the
/// plain statement may decide by other tables as they were before it waited for the row.
const BY_HAND_EXACT: &str = "by hand, exact";

pub async fn run(stage: &Stage, options: &Options) -> Result<Score> {
    let mut score = Score::new(NAME, "updates", options.pace(5, 1.2));
    let database = stage.database(NAME, include_str!("../sql/updates/schema.sql"));
    let (database, clients) = (database.await?, options.clients(&[1, 16]));
    database.vacuum("volumes, snapshots").await?;
    for (what, methods, by_hand) in
        [("three conditions", three_conditions(), BY_HAND), ("exists", exists(), BY_HAND_EXACT)]
    {
        let cells = compare(&mut score, &database, methods, (what, &clients), None).await?;
        for cell in &cells {
            score.aim(Goal::AtLeast(0.8), cell, STATEMENT, by_hand);
            score.aim(Goal::AtLeast(0.8), cell, PARAMETERS, by_hand);
        }
    }
    Ok(score)
}

fn three_conditions() -> Vec<Method> {
    let expected = json!({
        "status": ["available", "error"],
        "attach_status": {"not": "attached"},
        "migration_status": null,
    });
    vec![
        in_the_statement(include_str!("../sql/updates/three_conditions_call.sql")),
        as_parameters(expected, None),
        by_hand(BY_HAND, include_str!("../sql/updates/three_conditions.sql")),
    ]
}

fn exists() -> Vec<Method> {
    let expected = json!({"status": ["available", "error"]});
    let filter = json!({"not": {"exists": {
        "table": "snapshots",
        "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false},
    }}});
    let exact = include_str!("../sql/updates/exists_under_lock.sql");
    vec![
        in_the_statement(include_str!("../sql/updates/exists_call.sql")),
        as_parameters(expected, Some(filter)),
        by_hand(BY_HAND, include_str!("../sql/updates/exists.sql")),
        by_hand(BY_HAND_EXACT, exact),
    ]
}

fn in_the_statement(sql: &'static str) -> Method {
    Method::new(STATEMENT, [(sql, vec![Key, Changes])])
}

fn as_parameters(expected: Value, filter: Option<Value>) -> Method {
    let sql = include_str!("../sql/updates/parameters.sql");
    let documents = vec![Key, Changes, Document(Some(expected)), Document(filter)];
    Method::new(PARAMETERS, [(sql, documents)])
}

fn by_hand(name: &'static str, sql: &'static str) -> Method {
    Method::new(name, [(sql, vec![Volume, Status])])
}
