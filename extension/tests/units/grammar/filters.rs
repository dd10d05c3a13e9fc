use crate::conditional_update::grammar::tests::*;

#[test]
fn filters_are_combined() {
    let where_a = || {
        let one = Condition::AnyOf(Choice::One(Some(number("1"))));
        Filter::Where(vec![("a".to_owned(), one)])
    };
    let none = Filter::Not(Box::new(Filter::All(vec![])));
    assert_eq!(
        filter_of(r#"{"any": [{"where": {"a": 1}}, {"not": {"all": []}}]}"#),
        Ok(Filter::Any(vec![where_a(), none]))
    );
    let exists = |name: Option<&str>, row: Option<&str>| {
        let id = Expression::Outer(value::Outer { row: row.map(str::to_owned), column: "id".to_owned() });
        let of_row = Condition::Compared(vec![(Comparison::Eq, id)]);
        let (conditions, filter) = (vec![("b".to_owned(), of_row)], Some(where_a()));
        let name = name.map(str::to_owned);
        Ok(Filter::Exists(Box::new(Exists { table: "s".to_owned(), name, conditions, filter })))
    };
    let document = r#"{"exists": {
        "table": "s", "where": {"b": {"eq": {"outer": "id"}}}, "filter": {"where": {"a": 1}}
    }}"#;
    assert_eq!(filter_of(document), exists(None, None));
    let document = r#"{"exists": {
        "table": "s", "as": "t", "where": {"b": {"eq": {"outer": ["v", "id"]}}}, "filter": {"where": {"a": 1}}
    }}"#;
    assert_eq!(filter_of(document), exists(Some("t"), Some("v")));
}

#[test]
fn bad_filters_are_named() {
    refused(
        filter_of,
        r#"
        {} => filter: must name one operator
        {"all": [], "any": []} => filter: must name one operator
        {"and": []} => filter.and: unknown operator
        {"all": {}} => filter.all: must be a list of filters
        {"not": []} => filter.not: must be an object
        {"where": []} => filter.where: must be an object of columns and conditions
        {"where": {"a": {"like": "x"}}} => filter.where.a.like: unknown operator
        {"exists": "s"} => filter.exists: must be an object
        {"exists": {}} => filter.exists.table: is missing
        {"any": [{"all": []}, {"exists": {"table": 1}}]} => filter.any[1].exists.table: must be a string
        {"exists": {"table": "s", "having": {}}} => filter.exists.having: unknown member
        {"exists": {"table": "s", "where": {"a": {"eq": {"inner": "b"}}}}} => filter.exists.where.a.eq.inner: unknown operator
        {"exists": {"table": "s", "as": 1}} => filter.exists.as: must be a string that is not empty
        {"exists": {"table": "s", "as": ""}} => filter.exists.as: must be a string that is not empty
        {"exists": {"table": "s", "as": "target"}} => filter.exists.as: must not be "target", which is the row that is updated
        {"exists": {"table": "s", "where": {"a": {"eq": {"outer": ["b"]}}}}} => filter.exists.where.a.eq.outer: must be a list of two strings, a row and its column
        {"exists": {"table": "s", "where": {"a": {"eq": {"outer": ["b", 1]}}}}} => filter.exists.where.a.eq.outer: must be a list of two strings, a row and its column
        {"exists": {"table": "s", "where": {"a": {"eq": {"outer": 1}}}}} => filter.exists.where.a.eq.outer: must be the name of a column, or a list of a row and its column
        {"exists": {"table": "s", "filter": {"exists": {}}}} => filter.exists.filter.exists.table: is missing
        "#,
    );
}
