//! `volguard events`

use super::print;
use crate::args::{Database, Events};
use crate::error::Failure;
use crate::query;
use crate::section::{Choice, EVENTS};

/// The latest events, the last one at the end.
pub(crate) async fn events(database: &Database, asked: &Events) -> Result<(), Failure> {
    let volguard = query::open(database).await?;
    let mut connection = volguard.connection().await?;
    let transaction = query::reading(&mut connection).await?;
    let last = i64::from(asked.last);
    if asked.shown.json {
        return print::json(&query::json(&transaction, &EVENTS, last).await?);
    }
    let (mut rows, _) = query::rows(&transaction, &EVENTS, &Choice::default(), "", last).await?;
    rows.reverse();
    print::out(&print::table(&EVENTS, &rows, 0))
}
