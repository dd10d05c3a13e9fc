//! Random documents, made of the grammar's own words, real names and pieces of
//! SQL: the database answers or refuses, but never reads any part of them as SQL.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

const WORDS: &[&str] = &[
    "not",
    "null",
    "lt",
    "ge",
    "eq",
    "ne",
    "value",
    "column",
    "outer",
    "add",
    "div",
    "concat",
    "now",
    "case",
    "when",
    "then",
    "else",
    "all",
    "any",
    "where",
    "exists",
    "table",
    "filter",
    "id",
    "size",
    "status",
    "name",
    "deleted",
    "tags",
    "meta",
    "volumes",
    "snapshots",
    "oracle.snapshots",
    "volume_id",
];

const SQL: &[&str] = &[
    "'; DROP TABLE oracle.volumes; --",
    "\"; DROP TABLE oracle.volumes; --",
    "size\" = 99 WHERE true; --",
    "id\" = \"id",
    "volumes; DROP TABLE oracle.volumes",
    "snapshots AS s, pg_authid",
    "(SELECT 1)",
    "1) OR (true",
    "$1",
    "target.*",
    "pg_catalog.now()",
    "ctid",
    "/*",
    "--",
    "\\'",
    "$$",
    "U&\"\\0069d\"",
    "pg_sleep(10)",
    "é\u{200b}\u{202e}",
];

/// The documents of one call.
#[derive(Clone, Debug)]
pub struct Documents {
    pub key: Json,
    pub values: Json,
    pub expected: Json,
    pub filter: Json,
}

pub fn documents() -> impl Strategy<Value = Documents> {
    (members(), members(), members(), filters()).prop_map(|(key, values, expected, filter)| Documents {
        key,
        values,
        expected,
        filter,
    })
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(WORDS).prop_map(str::to_owned),
        2 => select(SQL).prop_map(str::to_owned),
        // Postgres' jsonb can't hold the NUL character.
        1 => "[^\u{0}]{0,12}",
    ]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-9_i64..9).prop_map(Json::from),
        word().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from), object(inner),]
    })
}

fn object(member: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    prop::collection::btree_map(word(), member, 1..3).prop_map(|members| Json::Object(members.into_iter().collect()))
}

fn members() -> impl Strategy<Value = Json> {
    object(json())
}

/// Likely to be a filter, so that the parts inside get further than the parser.
fn filters() -> impl Strategy<Value = Json> {
    let exists = (word(), members())
        .prop_map(|(table, members)| serde_json::json!({"exists": {"table": table, "where": members}}));
    let conditions = members().prop_map(|members| serde_json::json!({ "where": members }));
    prop_oneof![exists, conditions, json()]
}
