//! From documents to a statement with parameters.

pub mod arithmetic;
pub mod bind;
pub mod condition;
pub mod filter;
pub mod literal;
pub mod raw_sql;
pub mod value;
pub mod writer;
