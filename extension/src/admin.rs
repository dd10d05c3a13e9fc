//! The functions of an operator that take locks away. Each lock taken away leaves an event.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::{Rows, arg};
use crate::store::ended::{self, Ending};
use crate::store::events::EventKind;
use crate::store::{removal, spelling, sql, taken};
use pgrx::pg_extern;
use serde_json::json;

#[pg_extern(sql = false)]
fn force_release(token: Option<i64>, reason: Option<&str>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        let reason = argument::name("reason", reason)?;
        force(token, reason).map(Some)
    })
}

/// The same for the lock of a resource, whose token need not be known.
#[pg_extern(sql = false)]
fn force_release_by_key(
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    lock_name: Option<&str>,
    reason: Option<&str>,
) -> Option<bool> {
    verb(None, || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let lock_name = argument::lock_name(lock_name)?;
        let reason = argument::name("reason", reason)?;
        let resource_id = spelling::spell(resource_type, resource_id, "resource_id")?;
        let key = [arg(resource_type), arg(resource_id.as_ref()), arg(lock_name)];
        let token = sql::TOKEN_OF_KEY.run(&key, |rows| rows.get(0, 0))?;
        token.map_or(Ok(false), |token| force(token, reason)).map(Some)
    })
}

fn force(token: i64, reason: &str) -> Result<bool, Error> {
    let mut taken = taken::take(&sql::FORCE_RELEASE, &[arg(token)])?;
    if taken.is_empty() {
        taken = taken::find(&sql::SUBMITTED_HELD, &[arg(token)])?;
        removal::put_back(&[token])?;
    }
    for lock in &taken {
        lock.record(EventKind::Forced, json!({"status": lock.status, "reason": reason}))?;
    }
    Ok(!taken.is_empty())
}

#[pg_extern(sql = false)]
fn reset_resource(resource_type: Option<&str>, resource_id: Option<&str>) -> Option<i64> {
    verb(None, || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let resource_id = spelling::spell(resource_type, resource_id, "resource_id")?;
        let key = [arg(resource_type), arg(resource_id.as_ref())];
        let submitted = sql::SUBMITTED_ON.run(&key, Rows::numbers)?;
        if !submitted.is_empty() {
            ended::note(&submitted, Ending::Reset)?;
        }
        let taken = taken::take(&sql::RESET_RESOURCE, &key)?;
        for lock in &taken {
            lock.record(EventKind::Reset, json!({"status": lock.status}))?;
        }
        Ok(Some(taken.len() as i64))
    })
}

export! {
    volguard_force_release, pg_finfo_volguard_force_release => force_release_wrapper;
    volguard_force_release__by_key, pg_finfo_volguard_force_release__by_key => force_release_by_key_wrapper;
    volguard_reset_resource, pg_finfo_volguard_reset_resource => reset_resource_wrapper;
}
