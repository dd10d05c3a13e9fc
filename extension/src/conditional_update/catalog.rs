//! What the catalog says about tables, columns, types and operators.

pub mod operators;
pub mod reading;
pub mod table;
pub mod unique;
pub mod view;
