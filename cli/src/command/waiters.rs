//! `volguard waiters`

use super::print;
use crate::args::{Database, Shown};
use crate::error::Failure;
use crate::query;
use crate::section::{Choice, WAITERS};

/// Who waits for what. A server has a few hundred places to wait.
pub(crate) async fn waiters(database: &Database, shown: &Shown) -> Result<(), Failure> {
    let volguard = query::open(database).await?;
    let mut connection = volguard.connection().await?;
    let transaction = query::reading(&mut connection).await?;
    if shown.json {
        return print::json(&query::json(&transaction, &WAITERS, i64::MAX).await?);
    }
    let (rows, all) = query::rows(&transaction, &WAITERS, &Choice::default(), "", i64::MAX).await?;
    print::out(&print::table(&WAITERS, &rows, all))
}
