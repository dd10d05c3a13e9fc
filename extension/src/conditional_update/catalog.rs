//! What the catalog says about tables, columns, types and operators.
//!
//! [`table`] opens a table and finds its columns; [`view`] tells which views can be updated, [`unique`] which columns
//! identify a row. [`operators`] finds how two types compare or calculate, [`reading`] how a type reads as JSON, and
//! [`names`] writes names as SQL has them.

pub mod names;
pub mod operators;
pub mod reading;
pub mod table;
pub mod unique;
pub mod view;
