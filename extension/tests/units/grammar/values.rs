use crate::conditional_update::grammar::tests::*;

fn column(name: &str) -> Expression {
    Expression::Column(name.to_owned())
}

fn calculated(operator: Arithmetic, left: Expression, right: Expression) -> Expression {
    Expression::Arithmetic(operator, Box::new([left, right]))
}

#[test]
fn values_are_scalars_columns_and_arithmetic() {
    let two = Expression::Literal(number("2"));
    let minutes = Expression::Literal(text("5 minutes"));
    let doubled = calculated(Arithmetic::Mul, two, column("size"));
    for (document, value) in [
        (r#""deleting""#, Expression::Literal(text("deleting"))),
        ("null", Expression::Null),
        (r#"{"column": "status"}"#, column("status")),
        (r#"{"sub": [{"mul": [2, {"column": "size"}]}, "5 minutes"]}"#, calculated(Arithmetic::Sub, doubled, minutes)),
    ] {
        assert_eq!(value_of(document), Ok(value));
    }
}

#[test]
fn every_arithmetic_operator_has_its_name() {
    for (name, operator) in
        [("add", Arithmetic::Add), ("sub", Arithmetic::Sub), ("mul", Arithmetic::Mul), ("div", Arithmetic::Div)]
    {
        let Ok(Expression::Arithmetic(read, _)) = value_of(&format!(r#"{{"{name}": [1, 2]}}"#)) else {
            panic!("{name} was not read as arithmetic");
        };
        assert_eq!((read, read.name()), (operator, name));
    }
}

#[test]
fn bad_values_are_named() {
    refused(
        value_of,
        r#"
        {} => changes.c: must name one operator
        {"add": [1, 2], "sub": [1, 2]} => changes.c: must name one operator
        [1, 2] => changes.c: must not be a list
        {"pow": [1, 2]} => changes.c.pow: unknown operator
        {"column": 1} => changes.c.column: must be the name of a column
        {"add": 1} => changes.c.add: must be a list of two operands
        {"add": [1]} => changes.c.add: must be a list of two operands
        {"add": [1, 2, 3]} => changes.c.add: must be a list of two operands
        {"add": [1, null]} => changes.c.add[1]: must be something to calculate with
        {"add": [true, 1]} => changes.c.add[0]: must be something to calculate with
        {"add": [1, [2]]} => changes.c.add[1]: must not be a list
        {"add": [1, {"sub": [{"mod": []}, 2]}]} => changes.c.add[1].sub[0].mod: unknown operator
        {"now": false} => changes.c.now: must be true
        {"concat": []} => changes.c.concat: must be a list of at least one value
        {"concat": ["a", null]} => changes.c.concat[1]: must be something to join
        {"case": [{"when": {"all": []}}]} => changes.c.case[0]: must have "when" and "then", and nothing else
        {"case": [{"when": {"never": 1}, "then": 1}], "else": 2} => changes.c.case[0].when.never: unknown operator
        {"case": [{"when": {"all": []}, "then": 1}], "otherwise": 2} => changes.c.otherwise: unknown operator
        "#,
    );
}

#[test]
fn values_are_joined_chosen_and_dated() {
    let error = Expression::Literal(text("error_"));
    let case = Expression::Case {
        branches: vec![(Filter::All(vec![]), Expression::Literal(number("1")))],
        otherwise: Box::new(Expression::Null),
    };
    for (document, value) in [
        (r#"{"now": true}"#, Expression::Now),
        (r#"{"concat": ["error_", {"column": "status"}]}"#, Expression::Concat(vec![error, column("status")])),
        (r#"{"case": [{"when": {"all": []}, "then": 1}]}"#, case),
    ] {
        assert_eq!(value_of(document), Ok(value));
    }
}

#[test]
fn sql_is_a_string() {
    let read = |text: &str| changes_sql(members(text, "changes_sql"));
    let sql = ("a".to_owned(), "1 + 1".to_owned());
    assert_eq!(read(r#"{"a": "1 + 1"}"#), Ok(vec![sql]));
    refused(read, r#"{"a": 1} => changes_sql.a: must be a string"#);
}
