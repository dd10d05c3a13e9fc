//! A row as it was read.

use serde::Serialize;
use serde_json::Value;

use super::condition::Condition;

/// One condition per column, unchanged: the server takes it for a value if a column of its type can hold it.
pub(super) fn columns(row: impl Serialize) -> Vec<(String, Condition)> {
    let problem = match serde_json::to_value(row) {
        Ok(Value::Object(columns)) => {
            let conditions = columns.into_iter().map(|(column, value)| (column, Condition::new(Ok(value))));
            return conditions.collect();
        }
        Ok(_) => "is given a row that is no object of columns".to_owned(),
        Err(error) => format!("is given a row that is no JSON: {error}"),
    };
    vec![("expected".to_owned(), Condition::new(Err(problem)))]
}
