//! Which scalar of the documents each parameter of a statement takes.
//!
//! The cache key leaves out the value of every scalar that is a member of key, changes or expected. So each of them
//! must reach the statement as a parameter. If one didn't, the next call with the same key would write the value of
//! an earlier call. Literals carry the number of their member; here it is proved that no member is left over.

use crate::conditional_update::grammar::{Literal, Value};
use crate::input::jsonb::Stored;

/// Does each of the members that is a scalar have a literal among these, with its number and its value? `digits` is
/// the text of a [`Stored::Number`].
pub fn are_complete<'l>(
    members: &[Stored],
    literals: impl IntoIterator<Item = &'l Literal>,
    digits: impl Fn(&[u8]) -> String,
) -> bool {
    let mut claimed: Vec<bool> = members.iter().map(|stored| !is_scalar(stored)).collect();
    for literal in literals {
        let Some(number) = literal.member() else {
            continue;
        };
        let same = |stored: &Stored| match (stored, &literal.value) {
            (Stored::Text(text), Value::Text(literal)) => *text == literal.as_bytes(),
            (Stored::Boolean(value), Value::Boolean(literal)) => value == literal,
            (Stored::Number(number), Value::Number(literal)) => digits(number) == *literal,
            _ => false,
        };
        if !members.get(number).is_some_and(same) {
            return false;
        }
        claimed[number] = true;
    }
    !claimed.contains(&false)
}

fn is_scalar(stored: &Stored) -> bool {
    !matches!(stored, Stored::Null | Stored::Composed(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [Stored; 5] = [
        Stored::Text(b"v-1"),
        Stored::Null,
        Stored::Number(b"10"),
        Stored::Boolean(true),
        Stored::Composed(b"[]"),
    ];

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
        are_complete(members, literals, |digits| {
            String::from_utf8(digits.to_vec()).unwrap()
        })
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
}
