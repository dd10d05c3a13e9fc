//! What the catalog says about tables, columns, types and operators.
//!
//! [`table`] opens a table and finds its columns; [`view`] tells which views can be updated, [`rules`] which tables
//! can't, [`unique`] which columns identify a row. [`side_effects`] tells what may happen beside an update, and
//! [`identity`] finds the row again then. [`operators`] finds how two types compare or calculate, [`reading`] how a
//! type reads as JSON, and [`names`] writes names as SQL has them.

pub mod identity;
pub mod names;
pub mod operators;
pub mod reading;
pub mod rules;
pub mod side_effects;
pub mod table;
pub mod unique;
pub mod view;
