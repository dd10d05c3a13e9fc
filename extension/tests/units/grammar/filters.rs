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
    let id = Expression::Outer("id".to_owned());
    let of_row = Condition::Compared(vec![(Comparison::Eq, id)]);
    let exists = Exists { table: "s".to_owned(), conditions: vec![("b".to_owned(), of_row)], filter: Some(where_a()) };
    let document = r#"{"exists": {
        "table": "s", "where": {"b": {"eq": {"outer": "id"}}}, "filter": {"where": {"a": 1}}
    }}"#;
    assert_eq!(filter_of(document), Ok(Filter::Exists(Box::new(exists))));
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
        {"exists": {"table": "s", "filter": {"exists": {}}}} => filter.exists.filter.exists.table: is missing
        "#,
    );
}
