//! What a caller passes: [`argument`] checks plain arguments, [`document`] reads JSON documents into trees, and
//! [`jsonb`] looks at them in place.

pub mod argument;
pub mod document;
pub mod jsonb;
