//! `cleanup`: what an administrator, or a program of theirs, calls. It looks at all that the filters match, also at
//! work that is not due.

use super::round::Round;
use super::selection::{Selection, by_name, by_resource_id};
use super::tally::CleanedRow;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::lookup_locks;
use crate::pg::spi::arg;
use crate::store::sql;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "the SQL interface")]
#[allow(clippy::type_complexity, reason = "pgrx takes no alias here")]
fn cleanup(
    service_id: Option<i64>,
    cluster: Option<&str>,
    host: Option<&str>,
    binary_name: Option<&str>,
    disabled: Option<bool>,
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    until: Option<TimestampWithTimeZone>,
) -> TableIterator<'static, (Option<i64>, Option<String>, Option<String>, &'static str, i64, i64, i64, i64)> {
    let cleaned: Vec<CleanedRow> = verb(Vec::new(), || {
        if let Some(service_id) = service_id {
            lookup_locks::given_back(|| refuse_living(service_id))?;
        }
        let selection = Selection {
            service_id: service_id.and_then(arg),
            cluster: by_name("cluster", cluster)?,
            host: by_name("host", host)?,
            binary_name: by_name("binary_name", binary_name)?,
            disabled: disabled.and_then(arg),
            rows: [
                by_name("resource_type", resource_type)?,
                by_resource_id(resource_type, resource_id)?,
                until.and_then(arg),
            ],
            unattended: false,
        };
        Ok(Round::run(&selection)?.into_rows())
    });
    TableIterator::new(cleaned)
}

/// A call that names a living service is a mistake, and an empty result would hide it.
fn refuse_living(service_id: i64) -> Result<(), Error> {
    match sql::ALIVE.run(&[arg(service_id)], |rows| rows.get::<bool>(0, 0))? {
        None => Err(Error::ServiceUnknown(service_id)),
        Some(true) => Err(Error::ServiceAlive(service_id)),
        Some(false) => Ok(()),
    }
}

export! {
    volguard_cleanup, pg_finfo_volguard_cleanup => cleanup_wrapper;
}
