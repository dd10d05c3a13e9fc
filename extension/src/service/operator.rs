//! Operators: the roles that may call their functions.

use crate::pg::error::Error;
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::store::sql;

/// May the caller do what operators do?
pub fn caller_is_one() -> Result<bool, Error> {
    sql::IS_OPERATOR.run(&[arg(owner::caller())], |rows| rows.get(0, 0).unwrap_or_default())
}
