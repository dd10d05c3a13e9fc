//! Whatever is thrown at the parser, it answers: with a tree, or with a fault that has a place.

use crate::conditional_update::grammar::*;
use proptest::prelude::*;

/// Any JSON, and more often than by chance the words of the grammar.
fn documents() -> impl Strategy<Value = Json> {
    let word = prop_oneof![
        3 => prop::sample::select(vec![
            "not", "null", "lt", "le", "gt", "ge", "eq", "ne", "value", "column", "outer", "add", "sub", "mul", "div",
            "concat", "now", "case", "when", "then", "else", "all", "any", "where", "exists", "table", "filter",
        ]).prop_map(str::to_owned),
        1 => ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        word.clone().prop_map(Json::from),
        Just(serde_json::from_str("123456789012345678901234567890.5e3").expect("a number")),
    ];
    leaf.prop_recursive(6, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(word.clone(), inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn check<T>(read: Result<T, Fault>, argument: &str) {
    if let Err(fault) = read {
        assert!(fault.path.starts_with(argument), "{}", fault.path);
        assert!(!fault.problem.is_empty() && !fault.hint.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn any_json_is_read_or_refused(json in documents()) {
        let text = json.to_string();
        for argument in ["key", "expected", "filter", "changes", "changes_sql"] {
            let path = Path::root(argument);
            match (Members::parse(&text, &path), argument) {
                (Err(fault), _) => check::<()>(Err(fault), argument),
                (Ok(members), "key") => check(key(members, &path), argument),
                (Ok(members), "expected") => check(expectations(members, &path), argument),
                (Ok(members), "filter") => check(filter(members, &path), argument),
                (Ok(members), "changes") => check(changes(members, &path), argument),
                (Ok(members), _) => check(changes_sql(members, &path), argument),
            }
        }
        let path = Path::root("changes");
        check(value::expression(json.clone(), &path), "changes");
        check(condition::condition(json.clone(), &path), "changes");
        check(filter::filter(json, &path), "changes");
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        check(Members::parse(&text, &Path::root("changes")), "changes");
    }
}
