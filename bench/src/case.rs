//! The updates that are measured, each as a document and by hand.

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    pub by_hand: &'static str,
    pub expected: Value,
    pub filter: Option<Value>,
}

impl Case {
    pub fn all() -> [Case; 2] {
        [
            Case {
                name: "three conditions",
                by_hand: include_str!("../sql/three_conditions.sql"),
                expected: json!({
                    "status": ["available", "error"],
                    "attach_status": {"not": "attached"},
                    "migration_status": null,
                }),
                filter: None,
            },
            Case {
                name: "exists",
                by_hand: include_str!("../sql/exists.sql"),
                expected: json!({"status": ["available", "error"]}),
                filter: Some(json!({"not": {"exists": {
                    "table": "snapshots",
                    "where": {"volume_id": {"eq": {"outer": "id"}}, "deleted": false},
                }}})),
            },
        ]
    }
}
