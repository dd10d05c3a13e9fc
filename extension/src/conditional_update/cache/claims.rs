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
#[path = "../../../tests/units/claims.rs"]
mod tests;
