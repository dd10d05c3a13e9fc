//! From the trees of the grammar to a statement with parameters.
//!
//! [`writer`] is what writes one statement; [`value`] with [`arithmetic`], [`condition`] and [`filter`] add to it what can
//! write these trees, and [`raw_sql`] the caller's own SQL. [`bind`] turns a parameter into a value of its type, from the
//! text that [`literal`] makes.

pub mod arithmetic;
pub mod bind;
pub mod condition;
pub mod filter;
pub mod literal;
pub mod raw_sql;
pub mod value;
pub mod writer;
