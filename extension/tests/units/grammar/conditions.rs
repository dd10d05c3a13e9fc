use crate::conditional_update::grammar::tests::*;

fn one(scalar: Scalar) -> Condition {
    Condition::AnyOf(Choice::One(scalar))
}

fn many(scalars: &[Scalar]) -> Condition {
    Condition::AnyOf(Choice::Many(scalars.to_vec()))
}

#[test]
fn a_scalar_and_a_list_are_choices() {
    let yes = literal(Value::Boolean(true));
    let mixed = [Some(text("a")), None, Some(number("7"))];
    for (document, condition) in [
        (r#""available""#, one(Some(text("available")))),
        ("null", one(None)),
        ("true", one(Some(yes))),
        (r#"["a", null, 7]"#, many(&mixed)),
        ("[]", many(&[])),
    ] {
        assert_eq!(condition_of(document), Ok(condition));
    }
}

#[test]
fn numbers_keep_their_digits() {
    const LONG: &str = "0.1000000000000000055511151231257827021181583404541015625";
    for digits in ["0", "-7", "9223372036854775808", "1.10", LONG] {
        assert_eq!(condition_of(digits), Ok(one(Some(number(digits)))));
    }
}

#[test]
fn null_is_none_of_them_unless_it_is_listed() {
    let single = |value: &str| Choice::One(Some(text(value)));
    let with_null = || Choice::Many(vec![Some(text("a")), None]);
    for (document, choice, null_holds) in [
        (r#"{"not": "in-use"}"#, single("in-use"), true),
        (r#"{"not": "in-use", "null": true}"#, single("in-use"), true),
        (r#"{"not": "in-use", "null": false}"#, single("in-use"), false),
        (r#"{"not": null}"#, Choice::One(None), false),
        (r#"{"not": ["a", null]}"#, with_null(), false),
        (r#"{"not": ["a", null], "null": false}"#, with_null(), false),
    ] {
        let none_of = Condition::NoneOf { choice, null_holds };
        assert_eq!(condition_of(document), Ok(none_of));
    }
}

#[test]
fn bad_conditions_are_named() {
    refused(
        condition_of,
        r#"
        {} => expected.c: names no operator
        {"null": true} => expected.c: names no operator
        {"nott": 1} => expected.c.nott: unknown operator
        {"not": 1, "lt": 2} => expected.c.lt: can't stand beside "not"
        {"not": 1, "is": 2} => expected.c.is: unknown operator
        {"lt": null} => expected.c.lt: must not be null
        {"ge": [1]} => expected.c.ge: must not be a list
        {"ge": 1, "null": true} => expected.c.null: unknown operator
        {"eq": {"add": [1, {"case": []}]}} => expected.c.eq.add[1].case: must be a list of at least one branch
        {"not": {"not": 1}} => expected.c.not: must not be an object
        {"not": [1, [2]]} => expected.c.not[1]: must not be a list
        ["a", {"column": "b"}] => expected.c[1]: must not be an object
        {"not": 1, "null": "no"} => expected.c.null: must be true or false
        {"not": [1, null], "null": true} => expected.c.null: contradicts the null in the list
        "#,
    );
}

#[test]
fn all_comparisons_of_an_object_must_hold() {
    let used = Expression::Column("used".to_owned());
    let both = vec![(Comparison::Ge, used), (Comparison::Lt, Expression::Literal(number("10")))];
    let read = condition_of(r#"{"lt": 10, "ge": {"column": "used"}}"#);
    assert_eq!(read, Ok(Condition::Compared(both)));
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
    let null = vec![(Comparison::Eq, Expression::Null)];
    let read = condition_of(r#"{"eq": null}"#);
    assert_eq!(read, Ok(Condition::Compared(null)));
}

#[test]
fn a_wrapped_value_is_no_operator() {
    let json = |json| Some(literal(Value::Json(json)));
    for (document, condition) in [
        (r#"{"value": {"not": 1}}"#, one(json(json!({"not": 1})))),
        (r#"{"value": null}"#, one(json(json!(null)))),
        (r#"{"value": 7}"#, one(Some(number("7")))),
        (r#"[1, {"value": [true]}]"#, many(&[Some(number("1")), json(json!([true]))])),
    ] {
        assert_eq!(condition_of(document), Ok(condition));
    }
    let column = Expression::Literal(json(json!({"column": "c"})).unwrap());
    assert_eq!(value_of(r#"{"value": {"column": "c"}}"#), Ok(column));
}

#[test]
fn expected_lists_and_objects_are_kept_as_written() {
    let document = members(r#"{"c": {"surely": "no operator"}}"#, "expected");
    let mut read = expected(document, &mut (0..)).unwrap();
    let Expectation::Composed { written, condition } = read.remove(0).1 else {
        panic!("an object is no scalar");
    };
    let json = json!({"surely": "no operator"});
    assert_eq!(written, literal(Value::Json(json)));
    assert_eq!(condition.unwrap_err().path, "expected.c.surely");
}
