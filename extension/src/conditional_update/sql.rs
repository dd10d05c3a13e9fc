//! From the trees of the grammar to a statement with parameters.
//!
//! [`writer`] collects one statement. [`value`] with [`arithmetic`], [`condition`] and [`filter`] write the trees into
//! it, [`raw_sql`] writes the caller's own SQL, [`mod@row`] knows the rows around each part. [`bind`]
//! turns a literal into a value of its type, from the text that [`literal`] makes.

pub mod arithmetic;
pub mod bind;
pub mod condition;
pub mod filter;
pub mod literal;
pub mod raw_sql;
pub mod row;
pub mod value;
pub mod writer;
