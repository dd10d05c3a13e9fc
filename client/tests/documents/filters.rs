//! Filters of rows.

use serde_json::json;
use volguard::update::{all, any, exists, exists_as, gt, is, not, outer, outer_of};

use super::{expression, filter, read, update};

#[test]
fn filters() {
    let (a, b) = (|| is("a", 1), || is("b", not(2)));
    let (a_json, b_json) = (json!({"where": {"a": 1}}), json!({"where": {"b": {"not": 2}}}));
    assert_eq!(filter(a()), a_json);
    assert_eq!(filter(all([a(), b()])), json!({"all": [a_json, b_json]}));
    assert_eq!(filter(any([a(), b()])), json!({"any": [a_json, b_json]}));
    assert_eq!(filter(a() & b()), filter(all([a(), b()])));
    assert_eq!(filter(a() | b()), filter(any([a(), b()])));
    assert_eq!(filter(!a()), json!({"not": a_json}));
    assert_eq!(filter(any([])), json!({"any": []}));
}

#[test]
fn several_filters_are_demanded_together() {
    let built = update().only_if(is("a", 1)).unless(is("b", 2)).only_if(is("c", 3)).documents().unwrap();
    let together = json!({"all": [{"where": {"a": 1}}, {"not": {"where": {"b": 2}}}, {"where": {"c": 3}}]});
    assert_eq!(read(&built.filter.unwrap()), together);
}

#[test]
fn other_tables() {
    assert_eq!(filter(exists("t", all([]))), json!({"exists": {"table": "t", "filter": {"all": []}}}));
    let deep = is("size", gt(outer("size"))) & !exists("backups", is("snapshot_id", 3));
    assert_eq!(
        filter(exists("snapshots", deep)),
        json!({"exists": {"table": "snapshots", "filter": {"all": [
            {"where": {"size": {"gt": {"outer": "size"}}}},
            {"not": {"exists": {"table": "backups", "filter": {"where": {"snapshot_id": 3}}}}},
        ]}}})
    );
    let nested = is("pool", outer("id")) & exists("snapshots", is("volume_id", outer_of("v", "id")));
    assert_eq!(
        filter(exists_as("volumes", "v", nested)),
        json!({"exists": {"table": "volumes", "as": "v", "filter": {"all": [
            {"where": {"pool": {"eq": {"outer": "id"}}}},
            {"exists": {"table": "snapshots", "filter": {"where": {"volume_id": {"eq": {"outer": ["v", "id"]}}}}}},
        ]}}})
    );
    assert_eq!(expression(outer_of("target", "id")), json!({"outer": ["target", "id"]}));
}
