use crate::conditional_update::grammar::tests::*;

#[test]
fn filters_are_put_together() {
    let where_a = || {
        Filter::Where(vec![(
            "a".to_owned(),
            Condition::AnyOf(Choice::One(Some(number("1")))),
        )])
    };
    assert_eq!(
        filter_of(r#"{"any": [{"where": {"a": 1}}, {"not": {"all": []}}]}"#),
        Ok(Filter::Any(vec![
            where_a(),
            Filter::Not(Box::new(Filter::All(vec![])))
        ]))
    );
    assert_eq!(
        filter_of(
            r#"{"exists": {"table": "s", "where": {"b": {"eq": {"outer": "id"}}}, "filter": {"where": {"a": 1}}}}"#
        ),
        Ok(Filter::Exists(Box::new(Exists {
            table: "s".to_owned(),
            conditions: vec![(
                "b".to_owned(),
                Condition::Compared(vec![(Comparison::Eq, Expression::Outer("id".to_owned()))])
            )],
            filter: Some(where_a()),
        })))
    );
}

#[test]
fn bad_filters_are_named() {
    refused(
        filter_of,
        &[
            ("{}", "filter", "must name one operator"),
            (
                r#"{"all": [], "any": []}"#,
                "filter",
                "must name one operator",
            ),
            (r#"{"and": []}"#, "filter.and", "unknown operator"),
            (r#"{"all": {}}"#, "filter.all", "must be a list of filters"),
            (r#"{"not": []}"#, "filter.not", "must be an object"),
            (
                r#"{"where": []}"#,
                "filter.where",
                "must be an object of columns and conditions",
            ),
            (
                r#"{"where": {"a": {"like": "x"}}}"#,
                "filter.where.a.like",
                "unknown operator",
            ),
            (r#"{"exists": "s"}"#, "filter.exists", "must be an object"),
            (r#"{"exists": {}}"#, "filter.exists.table", "is missing"),
            (
                r#"{"any": [{"all": []}, {"exists": {"table": 1}}]}"#,
                "filter.any[1].exists.table",
                "must be a string",
            ),
            (
                r#"{"exists": {"table": "s", "having": {}}}"#,
                "filter.exists.having",
                "unknown member",
            ),
            (
                r#"{"exists": {"table": "s", "filter": {"exists": {"table": "t", "where": {"a": {"eq": {"inner": "b"}}}}}}}"#,
                "filter.exists.filter.exists.where.a.eq.inner",
                "unknown operator",
            ),
        ],
    );
}
