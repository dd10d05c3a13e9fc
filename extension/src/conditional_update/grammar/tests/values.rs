use crate::conditional_update::grammar::tests::*;

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
            ("{}", "changes.c", "must name one operator"),
            (
                r#"{"add": [1, 2], "sub": [1, 2]}"#,
                "changes.c",
                "must name one operator",
            ),
            ("[1, 2]", "changes.c", "must not be a list"),
            (r#"{"pow": [1, 2]}"#, "changes.c.pow", "unknown operator"),
            (
                r#"{"column": 1}"#,
                "changes.c.column",
                "must be the name of a column",
            ),
            (
                r#"{"add": 1}"#,
                "changes.c.add",
                "must be a list of two operands",
            ),
            (
                r#"{"add": [1]}"#,
                "changes.c.add",
                "must be a list of two operands",
            ),
            (
                r#"{"add": [1, 2, 3]}"#,
                "changes.c.add",
                "must be a list of two operands",
            ),
            (
                r#"{"add": [1, null]}"#,
                "changes.c.add[1]",
                "must be something to calculate with",
            ),
            (
                r#"{"add": [true, 1]}"#,
                "changes.c.add[0]",
                "must be something to calculate with",
            ),
            (
                r#"{"add": [1, [2]]}"#,
                "changes.c.add[1]",
                "must not be a list",
            ),
            (
                r#"{"add": [1, {"sub": [{"mod": []}, 2]}]}"#,
                "changes.c.add[1].sub[0].mod",
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
            (r#"{"now": false}"#, "changes.c.now", "must be true"),
            (
                r#"{"concat": []}"#,
                "changes.c.concat",
                "must be a list of at least one value",
            ),
            (
                r#"{"concat": ["a", null]}"#,
                "changes.c.concat[1]",
                "must be something to join",
            ),
            (
                r#"{"case": [{"when": {"all": []}}]}"#,
                "changes.c.case[0]",
                "must have \"when\" and \"then\", and nothing else",
            ),
            (
                r#"{"case": [{"when": {"never": 1}, "then": 1}], "else": 2}"#,
                "changes.c.case[0].when.never",
                "unknown operator",
            ),
            (
                r#"{"case": [{"when": {"all": []}, "then": 1}], "otherwise": 2}"#,
                "changes.c.otherwise",
                "unknown operator",
            ),
        ],
    );
}

#[test]
fn sql_is_a_string() {
    let read = |text: &str| changes_sql(members(text, "changes_sql"), &Path::root("changes_sql"));
    assert_eq!(
        read(r#"{"a": "1 + 1"}"#),
        Ok(vec![("a".to_owned(), "1 + 1".to_owned())])
    );
    refused(
        read,
        &[(r#"{"a": 1}"#, "changes_sql.a", "must be a string")],
    );
}
