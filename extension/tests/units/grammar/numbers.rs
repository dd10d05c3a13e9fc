//! A scalar that is a whole member of key, changes or expected has the member's number; no other literal has one.

use crate::conditional_update::grammar::tests::*;

/// The number and the value of each literal that a column's tree begins with.
fn numbered<'t>(literals: impl Iterator<Item = Option<&'t Literal>>) -> Vec<String> {
    let shown = |literal: &Literal| match (&literal.value, literal.member()) {
        (Value::Text(text) | Value::Number(text), Some(member)) => format!("{member}: {text}"),
        (value, member) => format!("{member:?}: {value:?}"),
    };
    literals.flatten().map(shown).collect()
}

fn of_value(value: &Expression) -> Option<&Literal> {
    match value {
        Expression::Literal(literal) => Some(literal),
        _ => None,
    }
}

#[test]
fn members_are_numbered_through_all_three_documents() {
    let mut numbers = 0..;
    let key = key(members(r#"{"a": "k", "b": null}"#, "key"), &mut numbers).unwrap();
    let document = r#"{"a": "c", "b": {"now": true}, "d": 7}"#;
    let changes = changes(members(document, "changes"), &mut numbers).unwrap();
    let document = r#"{"a": ["x"], "b": "e"}"#;
    let expected = expected(members(document, "expected"), &mut numbers).unwrap();

    assert_eq!(numbered(key.iter().map(|(_, scalar)| scalar.as_ref())), ["0: k"]);
    // What is no scalar is counted too.
    assert_eq!(numbered(changes.iter().map(|(_, value)| of_value(value))), ["2: c", "4: 7"]);
    let scalars = expected.iter().map(|(_, expectation)| match expectation {
        Expectation::Scalar(scalar) => scalar.as_ref(),
        Expectation::Composed { .. } => None,
    });
    assert_eq!(numbered(scalars), ["6: e"]);
}

#[test]
fn equal_scalars_keep_apart() {
    let read = changes(members(r#"{"a": "x", "b": "x"}"#, "changes"), &mut (3..)).unwrap();
    let literals = read.iter().map(|(_, value)| of_value(value));
    assert_eq!(numbered(literals), ["3: x", "4: x"]);
}

#[test]
fn literals_inside_a_member_have_no_number() {
    let document = r#"{
        "a": {"value": "x"},
        "b": {"add": [1, 2]},
        "c": {"concat": ["x", "y"]},
        "d": {"case": [{"when": {"where": {"a": "x"}}, "then": 1}], "else": "y"}
    }"#;
    let values = changes(members(document, "changes"), &mut (0..)).unwrap();
    let document = r#"{"a": {"value": "x"}, "b": ["x", "y"], "c": {"not": "x"}, "d": {"lt": 7}}"#;
    let conditions = expected(members(document, "expected"), &mut (0..)).unwrap();
    for tree in [format!("{values:?}"), format!("{conditions:?}")] {
        assert!(tree.contains("member: None"), "{tree}");
        assert!(!tree.contains("member: Some"), "{tree}");
    }
}

#[test]
fn a_copy_of_a_literal_has_its_number() {
    let read = key(members(r#"{"id": 1}"#, "key"), &mut (5..)).unwrap();
    let copy = read[0].1.clone().unwrap();
    assert_eq!(copy.member(), Some(5));
}
