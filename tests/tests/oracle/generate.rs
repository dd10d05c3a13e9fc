//! Random rows and documents. Few different values, so that they are often equal.

use super::evaluate::{Case, Cell, Row};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Number,
    Text,
    Truth,
    List,
    Anything,
}

/// The columns that a part of a document may name.
#[derive(Clone, Copy)]
struct Place {
    columns: &'static [(&'static str, Kind)],
    /// In how many `exists` it is.
    depth: usize,
}

/// The name of the row of an `exists`, by the number of those around it.
const NAMES: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];

const VOLUMES: &[(&str, Kind)] = &[
    ("id", Kind::Number),
    ("size", Kind::Number),
    ("used", Kind::Number),
    ("status", Kind::Text),
    ("name", Kind::Text),
    ("deleted", Kind::Truth),
    ("tags", Kind::List),
    ("meta", Kind::Anything),
];

const SNAPSHOTS: &[(&str, Kind)] = &[("volume_id", Kind::Number), ("size", Kind::Number), ("status", Kind::Text)];

const SQL: &[&str] = &[
    "size > 3",
    "status IS NULL OR deleted",
    "NULL",
    "EXISTS (SELECT FROM snapshots WHERE volume_id = target.size) -- as SQL",
];

pub fn cases() -> impl Strategy<Value = Case> {
    let volumes = Place { columns: VOLUMES, depth: 0 };
    let rows = (row(VOLUMES), prop::collection::vec(row(SNAPSHOTS), 0..4));
    let documents =
        (values(), expected(volumes), prop::option::of(filter(volumes, 3)), prop::option::weighted(0.2, select(SQL)));
    let key = prop::bool::weighted(0.95).prop_map(|found| if found { 1 } else { 2 });
    (rows, documents, key, prop::bool::weighted(0.1)).prop_map(
        |((mut volume, snapshots), (values, expected, filter, filter_sql), key, as_read)| {
            volume.insert("id", Some(json!(1)));
            let expected = match as_read {
                true => super::evaluate::as_json(&volume),
                false => expected,
            };
            Case { volume, snapshots, key, values, expected, filter, filter_sql }
        },
    )
}

fn row(columns: &'static [(&'static str, Kind)]) -> impl Strategy<Value = Row> {
    let cells: Vec<_> = columns.iter().map(|(name, kind)| cell(*kind).prop_map(move |cell| (*name, cell))).collect();
    cells.prop_map(|cells| cells.into_iter().collect())
}

fn cell(kind: Kind) -> impl Strategy<Value = Cell> {
    prop::option::weighted(0.75, stored(kind))
}

/// What a column may hold beside NULL.
fn stored(kind: Kind) -> BoxedStrategy<Json> {
    match kind {
        Kind::Number => (-3_i64..8).prop_map(Json::from).boxed(),
        Kind::Text => select(vec!["", "a", "b", "B", "a'b\"\\"]).prop_map(Json::from).boxed(),
        Kind::Truth => any::<bool>().prop_map(Json::from).boxed(),
        Kind::List => {
            let items = select(vec![json!("x"), json!("y,\"z\\"), json!(""), json!("NULL"), Json::Null]);
            prop::collection::vec(items, 0..3).prop_map(Json::from).boxed()
        }
        Kind::Anything => select(vec![
            Json::Null,
            json!(1),
            json!("a"),
            json!([]),
            json!(["a", null]),
            json!({"not": null}),
            json!({"value": 1}),
            json!({"eq": {"column": "meta"}}),
        ])
        .boxed(),
    }
}

/// A literal in a condition, by the grammar of conditions.
fn scalar(kind: Kind) -> BoxedStrategy<Json> {
    let wrapped = stored(kind).prop_map(|value| json!({ "value": value }));
    match kind {
        Kind::List | Kind::Anything => prop_oneof![1 => Just(Json::Null), 4 => wrapped].boxed(),
        _ => prop_oneof![1 => Just(Json::Null), 4 => stored(kind), 1 => wrapped].boxed(),
    }
}

fn expected(place: Place) -> impl Strategy<Value = Json> {
    let members = prop::sample::subsequence(place.columns, 0..4).prop_flat_map(move |columns| {
        columns
            .into_iter()
            .map(|(name, kind)| expectation(place, kind).prop_map(move |json| (name, json)))
            .collect::<Vec<_>>()
    });
    members.prop_map(object)
}

fn expectation(place: Place, kind: Kind) -> BoxedStrategy<Json> {
    match kind {
        Kind::Anything => stored(kind),
        Kind::List => prop_oneof![stored(kind), condition(place, kind, 1)].boxed(),
        _ => condition(place, kind, 2),
    }
}

fn object(members: Vec<(&'static str, Json)>) -> Json {
    let members = members.into_iter().map(|(name, json)| (name.to_owned(), json));
    Json::Object(members.collect::<Map<_, _>>())
}

fn condition(place: Place, kind: Kind, depth: u32) -> BoxedStrategy<Json> {
    let list = || prop::collection::vec(scalar(kind), 0..4).prop_map(Json::from);
    // In `where` a list means one of several values for every
    // column, but in `expected` it is the value of an array column.
    let choice = prop_oneof![2 => scalar(kind), 2 => list()];
    let negation = (choice.clone(), prop::option::of(any::<bool>())).prop_map(|(choice, holds)| {
        let listed = match &choice {
            Json::Array(items) => items.contains(&Json::Null),
            one => one.is_null(),
        };
        match holds {
            Some(holds) if !(holds && listed) => json!({"not": choice, "null": holds}),
            _ => json!({"not": choice}),
        }
    });
    match kind {
        Kind::List => prop_oneof![scalar(kind), negation].boxed(),
        Kind::Anything => prop_oneof![choice, negation].boxed(),
        _ => prop_oneof![2 => choice, 2 => negation, 3 => comparisons(place, kind, depth)].boxed(),
    }
}

fn comparisons(place: Place, kind: Kind, depth: u32) -> impl Strategy<Value = Json> {
    let names = vec!["lt", "le", "gt", "ge", "eq", "ne"];
    let comparison = (select(names), expression(place, kind, depth))
        .prop_filter("nothing is less than NULL", |(name, operand)| !operand.is_null() || matches!(*name, "eq" | "ne"));
    prop::collection::vec(comparison, 1..3).prop_map(object)
}

/// A value that reads the columns of a place.
fn expression(place: Place, kind: Kind, depth: u32) -> BoxedStrategy<Json> {
    let columns = place.columns.iter().filter(move |(_, other)| *other == kind);
    let columns: Vec<_> = columns.map(|(name, _)| json!({ "column": name })).collect();
    let of_kind = |columns: &'static [(&str, Kind)]| columns.iter().filter(move |(_, other)| *other == kind);
    let mut outer: Vec<_> = of_kind(VOLUMES).map(|(name, _)| json!({"outer": ["target", name]})).collect();
    if place.depth == 1 {
        outer.extend(of_kind(VOLUMES).map(|(name, _)| json!({ "outer": name })));
    }
    for row in NAMES.iter().take(place.depth.saturating_sub(1)) {
        outer.extend(of_kind(SNAPSHOTS).map(|(name, _)| json!({"outer": [row, name]})));
    }
    let columns = match columns.is_empty() {
        true => Just(Json::Null).boxed(),
        false => select(columns).boxed(),
    };
    let reference = match place.depth > 0 {
        true => prop_oneof![columns, select(outer)].boxed(),
        false => columns,
    };
    let leaf = prop_oneof![1 => Just(Json::Null), 3 => stored(kind), 4 => reference];
    if depth == 0 {
        return leaf.boxed();
    }
    let case = (
        prop::collection::vec((filter(place, depth - 1), expression(place, kind, depth - 1)), 1..3),
        prop::option::of(expression(place, kind, depth - 1)),
    )
        .prop_map(|(branches, otherwise)| {
            let branch = |(when, then)| json!({"when": when, "then": then});
            let branches: Vec<_> = branches.into_iter().map(branch).collect();
            match otherwise {
                None => json!({ "case": branches }),
                Some(otherwise) => json!({"case": branches, "else": otherwise}),
            }
        });
    let not_null =
        move |kind| expression(place, kind, depth - 1).prop_filter("no operand", |operand| !operand.is_null());
    let computed = match kind {
        Kind::Number => {
            let pair = (select(vec!["add", "sub", "mul"]), not_null(kind), not_null(kind))
                .prop_map(|(name, a, b)| object(vec![(name, json!([a, b]))]));
            let division = (not_null(kind), select(vec![-3, 2, 5])).prop_map(|(a, b)| json!({"div": [a, b]}));
            prop_oneof![3 => pair, 1 => division].boxed()
        }
        Kind::Text => prop::collection::vec(not_null(kind), 1..4).prop_map(|parts| json!({ "concat": parts })).boxed(),
        _ => leaf.clone().boxed(),
    };
    prop_oneof![4 => leaf, 3 => computed, 1 => case].boxed()
}

fn filter(place: Place, depth: u32) -> BoxedStrategy<Json> {
    let conditions = prop::sample::subsequence(place.columns, 0..3).prop_flat_map(move |columns| {
        columns
            .into_iter()
            .map(|(name, kind)| condition(place, kind, depth.min(1)).prop_map(move |json| (name, json)))
            .collect::<Vec<_>>()
    });
    let conditions = conditions.prop_map(object);
    let leaf = conditions.prop_map(|conditions| json!({ "where": conditions }));
    if depth == 0 {
        return leaf.boxed();
    }
    let several = || prop::collection::vec(filter(place, depth - 1), 0..3);
    let other = Place { columns: SNAPSHOTS, depth: place.depth + 1 };
    let name = NAMES[place.depth];
    let exists = (filter(other, 0), prop::option::weighted(0.3, filter(other, depth - 1))).prop_map(
        move |(conditions, filter)| match filter {
            None => json!({"exists": {"table": "snapshots", "as": name, "where": conditions["where"]}}),
            Some(filter) => {
                let table = "oracle.snapshots";
                json!({"exists": {"table": table, "as": name, "where": conditions["where"], "filter": filter}})
            }
        },
    );
    prop_oneof![
        3 => leaf,
        1 => several().prop_map(|filters| json!({ "all": filters })),
        1 => several().prop_map(|filters| json!({ "any": filters })),
        1 => filter(place, depth - 1).prop_map(|filter| json!({ "not": filter })),
        2 => exists,
    ]
    .boxed()
}

fn values() -> impl Strategy<Value = Json> {
    let place = Place { columns: VOLUMES, depth: 0 };
    prop::sample::subsequence(&VOLUMES[1..], 1..4)
        .prop_flat_map(move |columns| {
            columns
                .into_iter()
                .map(|(name, kind)| value(place, kind).prop_map(move |json| (name, json)))
                .collect::<Vec<_>>()
        })
        .prop_map(object)
}

fn value(place: Place, kind: Kind) -> BoxedStrategy<Json> {
    match kind {
        Kind::List | Kind::Anything => {
            prop_oneof![Just(Json::Null), stored(kind).prop_map(|value| json!({ "value": value })),].boxed()
        }
        _ => expression(place, kind, 2),
    }
}
