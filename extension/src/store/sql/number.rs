//! Statements on the two sequences behind tokens and ids.

use super::Statement;
use pgrx::pg_sys::INT8OID;

pub static CLOCK: Statement = Statement::new(&[], "SELECT c.last_value FROM volguard.clock AS c");

pub static SET_CLOCK: Statement = Statement::new(&[INT8OID], "SELECT pg_catalog.setval('volguard.clock', $1)");

pub static PLACE: Statement = Statement::new(&[], "SELECT p.last_value FROM volguard.place AS p");

pub static SET_PLACE: Statement = Statement::new(&[INT8OID], "SELECT pg_catalog.setval('volguard.place', $1)");
