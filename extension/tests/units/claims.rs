use super::*;

const MEMBERS: [Stored; 5] =
    [Stored::Text(b"v-1"), Stored::Null, Stored::Number(b"10"), Stored::Boolean(true), Stored::Composed(b"[]")];

fn text(text: &str, member: Option<usize>) -> Literal {
    Literal::new(Value::Text(text.to_owned()), member)
}

fn number(digits: &str, member: Option<usize>) -> Literal {
    Literal::new(Value::Number(digits.to_owned()), member)
}

fn yes(member: Option<usize>) -> Literal {
    Literal::new(Value::Boolean(true), member)
}

/// One literal for each scalar of [`MEMBERS`].
fn all() -> Vec<Literal> {
    vec![text("v-1", Some(0)), number("10", Some(2)), yes(Some(3))]
}

fn complete(members: &[Stored], literals: &[Literal]) -> bool {
    are_complete(members, literals, |digits| String::from_utf8(digits.to_vec()).unwrap())
}

#[test]
fn each_scalar_needs_a_literal_with_its_number() {
    assert!(complete(&MEMBERS, &all()));
    for at in 0..all().len() {
        let mut others = all();
        let missing = others.remove(at);
        assert!(!complete(&MEMBERS, &others), "{missing:?}");
        others.push(Literal::new(missing.value, None));
        assert!(!complete(&MEMBERS, &others), "without its number: {at}");
    }
}

#[test]
fn a_scalar_may_have_several_literals_and_inner_literals_count_for_nothing() {
    let more = [text("v-1", Some(0)), number("7", None)];
    assert!(complete(&MEMBERS, &[all(), more.to_vec()].concat()));
}

#[test]
fn a_literal_with_the_number_of_another_member_is_found() {
    for wrong in [
        number("11", Some(2)),
        text("10", Some(2)),
        text("v-2", Some(0)),
        text("", Some(1)),
        yes(Some(4)),
        yes(Some(5)),
    ] {
        assert!(!complete(&MEMBERS, &[all(), vec![wrong]].concat()));
    }
}

#[test]
fn equal_values_do_not_stand_for_each_other() {
    let members = [Stored::Text(b"x"), Stored::Text(b"x")];
    let of = |first, second| [text("x", Some(first)), text("x", Some(second))];
    assert!(!complete(&members, &of(0, 0)));
    assert!(complete(&members, &of(1, 0)));
}
