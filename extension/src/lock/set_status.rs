//! Sets the status of the work under a lock.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::arg;
use crate::service::fence;
use crate::service::service_lock::ServiceLock;
use crate::store::liveness::Liveness;
use crate::store::sql;
use crate::store::tables::Tables;
use crate::wait::WaitQueue;
use pgrx::pg_extern;

#[pg_extern(sql = false)]
fn set_status(token: Option<i64>, status: Option<&str>) {
    verb((), || {
        let token = argument::required("token", token)?;
        let status = argument::status(status)?;
        let holder = fence::holder(token)?.ok_or(Error::TokenNotHeld(token))?;
        let slot = WaitQueue::of_work(&holder.resource_type, &holder.resource_id);
        let busy = || Error::Busy {
            what: format!("{} {} has another operation in progress", holder.resource_type, holder.resource_id),
            hint: "A resource has one operation at a time. Wait for its end, or acquire with the status and a wait.",
        };
        if status.is_some() && !holder.working && !slot.try_head()? {
            return Err(busy());
        }
        ServiceLock::of(holder.service_id).lock_shared()?;
        if sql::SET_STATUS.count(&[arg(token), status.and_then(arg)])? == 0 {
            // Without a row lock, since a refusal writes nothing.
            let alive = Tables::open()?.liveness(holder.service_id)? != Liveness::Fenced;
            let held = alive && fence::holder(token)?.is_some();
            return Err(match held {
                true => busy(),
                false => Error::TokenNotHeld(token),
            });
        }
        if status.is_none() {
            slot.wake_after_commit();
        }
        Ok(())
    });
}

export! {
    volguard_set_status, pg_finfo_volguard_set_status => set_status_wrapper;
}
