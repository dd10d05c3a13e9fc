//! Which scalar of the documents each parameter of a statement takes.
//!
//! The cache key leaves out the value of every scalar that is a member of key, changes or expected. So each of them must
//! reach the statement as a parameter. If one didn't, the next call with the same key would write the value of an earlier
//! call. Literals carry the number of their member; here it is proved that no member is left over.

use crate::conditional_update::grammar::{Literal, Value};
use crate::input::jsonb::Stored;

/// Does each of the members that is a scalar have a literal among these, with its number and its value? `digits` is the text
/// of a [`Stored::Number`].
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

    fn complete(literals: &[Literal]) -> bool {
        are_complete(&MEMBERS, literals, |digits| {
            String::from_utf8(digits.to_vec()).unwrap()
        })
    }

    #[test]
    fn each_scalar_needs_a_parameter() {
        let all = [text("v-1", Some(0)), number("10", Some(2)), yes(Some(3))];
        assert!(complete(&all));
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(missing);
            assert!(!complete(&some), "{some:?}");
        }
    }

    #[test]
    fn a_scalar_may_have_several_parameters_and_others_may_have_none() {
        let id = text("v-1", Some(0));
        let inner = number("7", None);
        let all = [id.clone(), number("10", Some(2)), yes(Some(3)), id, inner];
        assert!(complete(&all));
    }

    #[test]
    fn a_literal_without_its_number_claims_nothing() {
        let all = [text("v-1", None), number("10", Some(2)), yes(Some(3))];
        assert!(!complete(&all));
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
            let mut all = vec![text("v-1", Some(0)), number("10", Some(2)), yes(Some(3))];
            all.push(wrong);
            assert!(!complete(&all), "{all:?}");
        }
    }

    #[test]
    fn equal_values_do_not_stand_for_each_other() {
        let members = [Stored::Text(b"x"), Stored::Text(b"x")];
        let twice = [text("x", Some(0)), text("x", Some(0))];
        assert!(!are_complete(&members, &twice, |_| String::new()));
        let each = [text("x", Some(1)), text("x", Some(0))];
        assert!(are_complete(&members, &each, |_| String::new()));
    }
}
