use super::*;

fn members(text: &str, argument: &'static str) -> Members {
    Members::parse(text, &Path::root(argument)).unwrap()
}

fn condition_of(text: &str) -> Result<Condition, Fault> {
    let mut read = expectations(
        members(&format!(r#"{{"c": {text}}}"#), "expected"),
        &Path::root("expected"),
    )?;
    match read.remove(0).1 {
        Expectation::Scalar(condition) => Ok(condition),
        Expectation::Composed { condition, .. } => condition,
    }
}

fn filter_of(text: &str) -> Result<Filter, Fault> {
    filter(members(text, "filter"), &Path::root("filter"))
}

fn value_of(text: &str) -> Result<Expression, Fault> {
    let mut read = values(
        members(&format!(r#"{{"c": {text}}}"#), "values"),
        &Path::root("values"),
    )?;
    Ok(read.remove(0).1)
}

fn text(text: &str) -> Scalar {
    Some(Literal::Text(text.to_owned()))
}

fn number(digits: &str) -> Literal {
    Literal::Number(digits.to_owned())
}

/// Each document is refused at the place that stands beside it.
fn refused<T: std::fmt::Debug>(
    read: impl Fn(&str) -> Result<T, Fault>,
    cases: &[(&str, &str, &str)],
) {
    for (document, path, problem) in cases {
        let fault = read(document).expect_err(document);
        assert_eq!(
            (fault.path.as_str(), fault.problem.as_str()),
            (*path, *problem),
            "{document}"
        );
        assert!(!fault.hint.is_empty(), "{document}");
    }
}

#[test]
fn a_scalar_and_a_list_are_choices() {
    let one = |scalar| Condition::AnyOf(Choice::One(scalar));
    assert_eq!(condition_of(r#""available""#), Ok(one(text("available"))));
    assert_eq!(condition_of("null"), Ok(one(None)));
    assert_eq!(condition_of("true"), Ok(one(Some(Literal::Boolean(true)))));
    assert_eq!(
        condition_of(r#"["a", null, 7]"#),
        Ok(Condition::AnyOf(Choice::Many(vec![
            text("a"),
            None,
            Some(number("7"))
        ])))
    );
    assert_eq!(
        condition_of("[]"),
        Ok(Condition::AnyOf(Choice::Many(vec![])))
    );
}

#[test]
fn numbers_keep_their_digits() {
    for digits in [
        "0",
        "-7",
        "9223372036854775808",
        "1.10",
        "0.1000000000000000055511151231257827021181583404541015625",
    ] {
        assert_eq!(
            condition_of(digits),
            Ok(Condition::AnyOf(Choice::One(Some(number(digits)))))
        );
    }
}

#[test]
fn a_null_column_is_not_in_use() {
    let none_of = |choice, null_holds| Ok(Condition::NoneOf { choice, null_holds });
    let in_use = || Choice::One(text("in-use"));
    assert_eq!(
        condition_of(r#"{"not": "in-use"}"#),
        none_of(in_use(), true)
    );
    assert_eq!(
        condition_of(r#"{"not": "in-use", "null": true}"#),
        none_of(in_use(), true)
    );
    assert_eq!(
        condition_of(r#"{"not": "in-use", "null": false}"#),
        none_of(in_use(), false)
    );
}

#[test]
fn a_null_in_the_list_excludes_null() {
    let none_of = |choice| {
        Ok(Condition::NoneOf {
            choice,
            null_holds: false,
        })
    };
    assert_eq!(condition_of(r#"{"not": null}"#), none_of(Choice::One(None)));
    let list = || Choice::Many(vec![text("a"), None]);
    assert_eq!(condition_of(r#"{"not": ["a", null]}"#), none_of(list()));
    assert_eq!(
        condition_of(r#"{"not": ["a", null], "null": false}"#),
        none_of(list())
    );
}

#[test]
fn bad_conditions_are_named() {
    refused(
        condition_of,
        &[
            ("{}", "expected.c", "names no operator"),
            (r#"{"null": true}"#, "expected.c", "names no operator"),
            (r#"{"nott": 1}"#, "expected.c.nott", "unknown operator"),
            (
                r#"{"not": 1, "lt": 2}"#,
                "expected.c.lt",
                "can't stand beside \"not\"",
            ),
            (
                r#"{"not": 1, "is": 2}"#,
                "expected.c.is",
                "unknown operator",
            ),
            (r#"{"lt": null}"#, "expected.c.lt", "must not be null"),
            (r#"{"ge": [1]}"#, "expected.c.ge", "must not be a list"),
            (
                r#"{"ge": 1, "null": true}"#,
                "expected.c.null",
                "unknown operator",
            ),
            (
                r#"{"eq": {"add": [1, {"case": []}]}}"#,
                "expected.c.eq.add[1].case",
                "must be a list of at least one branch",
            ),
            (
                r#"{"not": {"not": 1}}"#,
                "expected.c.not",
                "must not be an object",
            ),
            (
                r#"{"not": [1, [2]]}"#,
                "expected.c.not[1]",
                "must not be a list",
            ),
            (
                r#"["a", {"column": "b"}]"#,
                "expected.c[1]",
                "must not be an object",
            ),
            (
                r#"{"not": 1, "null": "no"}"#,
                "expected.c.null",
                "must be true or false",
            ),
            (
                r#"{"not": [1, null], "null": true}"#,
                "expected.c.null",
                "contradicts the null in the list",
            ),
        ],
    );
}

#[test]
fn a_key_is_made_of_scalars() {
    let key_of = |text: &str| key(members(text, "key"), &Path::root("key"));
    assert_eq!(
        key_of(r#"{"id": "v1", "deleted_at": null}"#),
        Ok(vec![
            ("id".to_owned(), text("v1")),
            ("deleted_at".to_owned(), None)
        ])
    );
    refused(
        key_of,
        &[
            (r#"{"id": ["v1"]}"#, "key.id", "must not be a list"),
            (
                r#"{"a": 1, "id": {"not": "v1"}}"#,
                "key.id",
                "must not be an object",
            ),
        ],
    );
}

#[test]
fn values_are_scalars_columns_and_arithmetic() {
    let column = |name: &str| Expression::Column(name.to_owned());
    assert_eq!(
        value_of(r#""deleting""#),
        Ok(Expression::Literal(Literal::Text("deleting".to_owned())))
    );
    assert_eq!(value_of("null"), Ok(Expression::Null));
    assert_eq!(value_of(r#"{"column": "status"}"#), Ok(column("status")));

    let doubled = Expression::Arithmetic(
        Arithmetic::Mul,
        Box::new([Expression::Literal(number("2")), column("size")]),
    );
    assert_eq!(
        value_of(r#"{"sub": [{"mul": [2, {"column": "size"}]}, "5 minutes"]}"#),
        Ok(Expression::Arithmetic(
            Arithmetic::Sub,
            Box::new([
                doubled,
                Expression::Literal(Literal::Text("5 minutes".to_owned()))
            ]),
        ))
    );
}

#[test]
fn every_arithmetic_operator_has_its_name() {
    for (name, operator) in [
        ("add", Arithmetic::Add),
        ("sub", Arithmetic::Sub),
        ("mul", Arithmetic::Mul),
        ("div", Arithmetic::Div),
    ] {
        let Ok(Expression::Arithmetic(read, _)) = value_of(&format!(r#"{{"{name}": [1, 2]}}"#))
        else {
            panic!("{name} was not read as arithmetic");
        };
        assert_eq!((read, read.name()), (operator, name));
    }
}

#[test]
fn bad_values_are_named() {
    refused(
        value_of,
        &[
            ("{}", "values.c", "must name one operator"),
            (
                r#"{"add": [1, 2], "sub": [1, 2]}"#,
                "values.c",
                "must name one operator",
            ),
            ("[1, 2]", "values.c", "must not be a list"),
            (r#"{"pow": [1, 2]}"#, "values.c.pow", "unknown operator"),
            (
                r#"{"column": 1}"#,
                "values.c.column",
                "must be the name of a column",
            ),
            (
                r#"{"add": 1}"#,
                "values.c.add",
                "must be a list of two operands",
            ),
            (
                r#"{"add": [1]}"#,
                "values.c.add",
                "must be a list of two operands",
            ),
            (
                r#"{"add": [1, 2, 3]}"#,
                "values.c.add",
                "must be a list of two operands",
            ),
            (
                r#"{"add": [1, null]}"#,
                "values.c.add[1]",
                "must be something to calculate with",
            ),
            (
                r#"{"add": [true, 1]}"#,
                "values.c.add[0]",
                "must be something to calculate with",
            ),
            (
                r#"{"add": [1, [2]]}"#,
                "values.c.add[1]",
                "must not be a list",
            ),
            (
                r#"{"add": [1, {"sub": [{"mod": []}, 2]}]}"#,
                "values.c.add[1].sub[0].mod",
                "unknown operator",
            ),
        ],
    );
}

#[test]
fn comparisons_hold_together() {
    assert_eq!(
        condition_of(r#"{"lt": 10, "ge": {"column": "used"}}"#),
        Ok(Condition::Compared(vec![
            (Comparison::Ge, Expression::Column("used".to_owned())),
            (Comparison::Lt, Expression::Literal(number("10"))),
        ]))
    );
    for (name, comparison) in [
        ("lt", Comparison::Lt),
        ("le", Comparison::Le),
        ("gt", Comparison::Gt),
        ("ge", Comparison::Ge),
        ("eq", Comparison::Eq),
        ("ne", Comparison::Ne),
    ] {
        let read = condition_of(&format!(r#"{{"{name}": 1}}"#));
        let one = Expression::Literal(number("1"));
        assert_eq!(read, Ok(Condition::Compared(vec![(comparison, one)])));
        assert_eq!(comparison.name(), name);
    }
    assert_eq!(
        condition_of(r#"{"eq": null}"#),
        Ok(Condition::Compared(vec![(
            Comparison::Eq,
            Expression::Null
        )]))
    );
}

#[test]
fn a_wrapped_value_is_no_operator() {
    let one = |literal| Ok(Condition::AnyOf(Choice::One(Some(literal))));
    let json = |text| Literal::Json(serde_json::from_str(text).unwrap());
    assert_eq!(
        condition_of(r#"{"value": {"not": 1}}"#),
        one(json(r#"{"not": 1}"#))
    );
    assert_eq!(condition_of(r#"{"value": null}"#), one(json("null")));
    assert_eq!(condition_of(r#"{"value": 7}"#), one(number("7")));
    assert_eq!(
        condition_of(r#"[1, {"value": [2]}]"#),
        Ok(Condition::AnyOf(Choice::Many(vec![
            Some(number("1")),
            Some(json("[2]"))
        ])))
    );
    assert_eq!(
        value_of(r#"{"value": {"column": "c"}}"#),
        Ok(Expression::Literal(json(r#"{"column": "c"}"#)))
    );
}

#[test]
fn what_is_expected_is_kept_as_written() {
    let mut read = expectations(
        members(r#"{"c": {"surely": "no operator"}}"#, "expected"),
        &Path::root("expected"),
    )
    .unwrap();
    let Expectation::Composed { written, condition } = read.remove(0).1 else {
        panic!("an object is no scalar");
    };
    assert_eq!(
        written,
        Literal::Json(serde_json::json!({"surely": "no operator"}))
    );
    assert_eq!(condition.unwrap_err().path, "expected.c.surely");
}

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

#[test]
fn values_are_joined_chosen_and_dated() {
    assert_eq!(value_of(r#"{"now": true}"#), Ok(Expression::Now));
    assert_eq!(
        value_of(r#"{"concat": ["error_", {"column": "status"}]}"#),
        Ok(Expression::Concat(vec![
            Expression::Literal(Literal::Text("error_".to_owned())),
            Expression::Column("status".to_owned())
        ]))
    );
    assert_eq!(
        value_of(r#"{"case": [{"when": {"all": []}, "then": 1}]}"#),
        Ok(Expression::Case {
            branches: vec![(Filter::All(vec![]), Expression::Literal(number("1")))],
            otherwise: Box::new(Expression::Null),
        })
    );
    refused(
        value_of,
        &[
            (r#"{"now": false}"#, "values.c.now", "must be true"),
            (
                r#"{"concat": []}"#,
                "values.c.concat",
                "must be a list of at least one value",
            ),
            (
                r#"{"concat": ["a", null]}"#,
                "values.c.concat[1]",
                "must be something to join",
            ),
            (
                r#"{"case": [{"when": {"all": []}}]}"#,
                "values.c.case[0]",
                "must have \"when\" and \"then\", and nothing else",
            ),
            (
                r#"{"case": [{"when": {"never": 1}, "then": 1}], "else": 2}"#,
                "values.c.case[0].when.never",
                "unknown operator",
            ),
            (
                r#"{"case": [{"when": {"all": []}, "then": 1}], "otherwise": 2}"#,
                "values.c.otherwise",
                "unknown operator",
            ),
        ],
    );
}

#[test]
fn sql_is_a_string() {
    let read = |text: &str| values_sql(members(text, "values_sql"), &Path::root("values_sql"));
    assert_eq!(
        read(r#"{"a": "1 + 1"}"#),
        Ok(vec![("a".to_owned(), "1 + 1".to_owned())])
    );
    refused(read, &[(r#"{"a": 1}"#, "values_sql.a", "must be a string")]);
}

#[test]
fn columns_keep_the_order_of_the_document() {
    let read = expectations(
        members(r#"{"b": 1, "a": 2}"#, "expected"),
        &Path::root("expected"),
    )
    .unwrap();
    let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}
