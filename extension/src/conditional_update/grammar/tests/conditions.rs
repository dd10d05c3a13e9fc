use crate::conditional_update::grammar::tests::*;

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
