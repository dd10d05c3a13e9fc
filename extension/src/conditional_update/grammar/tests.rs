use super::*;

fn members(text: &str, argument: &'static str) -> Members {
    Members::parse(text, &Path::root(argument)).unwrap()
}

fn condition_of(text: &str) -> Result<Condition, Fault> {
    let mut read = conditions(
        members(&format!(r#"{{"c": {text}}}"#), "expected"),
        &Path::root("expected"),
    )?;
    Ok(read.remove(0).1)
}

fn value_of(text: &str) -> Result<Value, Fault> {
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
                "unknown operator",
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
        Ok(Value::Scalar(text("deleting")))
    );
    assert_eq!(value_of("null"), Ok(Value::Scalar(None)));
    assert_eq!(
        value_of(r#"{"column": "status"}"#),
        Ok(Value::Computed(column("status")))
    );

    let doubled = Expression::Arithmetic(
        Arithmetic::Mul,
        Box::new([Expression::Literal(number("2")), column("size")]),
    );
    assert_eq!(
        value_of(r#"{"sub": [{"mul": [2, {"column": "size"}]}, "5 minutes"]}"#),
        Ok(Value::Computed(Expression::Arithmetic(
            Arithmetic::Sub,
            Box::new([
                doubled,
                Expression::Literal(Literal::Text("5 minutes".to_owned()))
            ]),
        )))
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
        let Ok(Value::Computed(Expression::Arithmetic(read, _))) =
            value_of(&format!(r#"{{"{name}": [1, 2]}}"#))
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
fn columns_keep_the_order_of_the_document() {
    let read = conditions(
        members(r#"{"b": 1, "a": 2}"#, "expected"),
        &Path::root("expected"),
    )
    .unwrap();
    let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}
