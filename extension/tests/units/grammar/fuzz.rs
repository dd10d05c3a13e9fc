//! Any input is answered with a tree, or with a fault that names its path.

use crate::conditional_update::grammar::*;
use proptest::prelude::*;

/// The words of the grammar, which the documents use more often than chance would.
const WORDS: &str = "not null lt le gt ge eq ne value column outer add sub mul div concat now case when then else \
    all any where exists table as filter target";

fn documents() -> impl Strategy<Value = Json> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let word = prop_oneof![
        3 => prop::sample::select(words).prop_map(str::to_owned),
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
            match (Members::parse(&text, &Path::root(argument)), argument) {
                (Err(fault), _) => check::<()>(Err(fault), argument),
                (Ok(members), "key") => check(key(members, &mut (0..)), argument),
                (Ok(members), "expected") => check(expected(members, &mut (0..)), argument),
                (Ok(members), "filter") => check(filter(members), argument),
                (Ok(members), "changes") => check(changes(members, &mut (0..)), argument),
                (Ok(members), _) => check(changes_sql(members), argument),
            }
        }
        let path = Path::root("changes");
        check(value::expression(json.clone(), None, &path), "changes");
        check(condition::condition(json.clone(), &path), "changes");
        check(filter::filter(json, &path), "changes");
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        check(Members::parse(&text, &Path::root("changes")), "changes");
    }
}
