//! The heartbeat, which renews a service's lease.

use super::identity::acting_for;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, passing_verb};
use crate::pg::spi::arg;
use crate::store::sql;
use pgrx::datum::Interval;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
fn heartbeat(service_id: Option<i64>) -> Option<Interval> {
    passing_verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        acting_for(service_id)?;
        let lease = sql::HEARTBEAT.run(&[arg(service_id)], |rows| rows.get(0, 0))?;
        lease.map(Some).ok_or(Error::ServiceFenced(service_id))
    })
}

export! {
    volguard_heartbeat, pg_finfo_volguard_heartbeat => heartbeat_wrapper;
}
