//! The updates that are measured, each by hand and as documents.

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    pub by_hand: &'static str,
    /// The call with the conditions in it, as the statement by hand has them.
    pub call: &'static str,
    /// The conditions, where they are parameters.
    pub expected: Value,
    pub filter: Option<Value>,
}

impl Case {
    /// The second has to be measured beside two statements: the plain one may decide by snapshots as they were before it
    /// waited for the row, which `conditional_update` never does.
    pub fn all() -> [Case; 3] {
        [
            Case {
                name: "three conditions",
                by_hand: include_str!("../../sql/updates/three_conditions.sql"),
                call: include_str!("../../sql/updates/three_conditions_call.sql"),
                expected: json!({
                    "status": ["available", "error"],
                    "attach_status": {"not": "attached"},
                    "migration_status": null,
                }),
                filter: None,
            },
            Case {
                name: "exists",
                by_hand: include_str!("../../sql/updates/exists.sql"),
                call: include_str!("../../sql/updates/exists_call.sql"),
                expected: json!({"status": ["available", "error"]}),
                filter: Some(no_snapshots()),
            },
            Case {
                name: "exists, exact",
                by_hand: include_str!("../../sql/updates/exists_under_lock.sql"),
                call: include_str!("../../sql/updates/exists_call.sql"),
                expected: json!({"status": ["available", "error"]}),
                filter: Some(no_snapshots()),
            },
        ]
    }
}

fn no_snapshots() -> Value {
    json!({"not": {"exists": {
        "table": "snapshots",
        "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false},
    }}})
}
