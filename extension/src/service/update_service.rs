//! What is known of a service beside its identity: its details, and whether it takes no new work.
//!
//! A heartbeat writes the same row, and waits while the transaction is open.

use super::identity::acting_for;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::events::{self, Event, EventKind};
use crate::store::liveness::Liveness;
use crate::store::sql;
use crate::store::tables::Tables;
use pgrx::datum::AnyElement;
use pgrx::pg_extern;
use serde_json::json;

#[pg_extern(sql = false)]
fn update_service(
    service_id: Option<i64>,
    // Stored without being read, so that its depth doesn't matter.
    details: Option<AnyElement>,
    disabled: Option<bool>,
    disabled_reason: Option<&str>,
) {
    verb((), || {
        let service_id = argument::required("service_id", service_id)?;
        let reason = disabled_reason.map(|reason| argument::name("disabled_reason", Some(reason))).transpose()?;
        if details.is_none() && disabled.is_none() {
            let hint = "Pass details, disabled, or both. A reason belongs to disabled => true.";
            return Err(Error::invalid("disabled", "is null, and so is details: there is nothing to set", hint));
        }
        if reason.is_some() && disabled.is_none() {
            let hint = "Pass disabled => true with it, also to give another reason.";
            return Err(Error::invalid("disabled_reason", "is passed without disabled", hint));
        }
        permit(service_id, details.is_some())?;
        let mut changed = false;
        if let Some(details) = details {
            changed |= sql::SET_SERVICE_DETAILS.count(&[arg(service_id), Some(details.datum())])? > 0;
        }
        if let Some(disabled) = disabled {
            changed |= mark(service_id, disabled, reason)?;
        }
        match changed || Tables::open()?.liveness(service_id)? != Liveness::Fenced {
            true => Ok(()),
            false => Err(Error::ServiceFenced(service_id)),
        }
    });
}

/// The details are the service's own. That it takes no work may also say who its cluster belongs to, and an operator,
/// who may disable the whole cluster.
fn permit(service_id: i64, details: bool) -> Result<(), Error> {
    let denied = match acting_for(service_id) {
        Err(denied @ Error::Denied { .. }) => denied,
        acting => return acting.map(drop),
    };
    let parameters = [arg(service_id), arg(owner::caller())];
    let (owner, is_operator) = sql::WHO_MAY_DISABLE
        .run(&parameters, |rows| (rows.get::<String>(0, 0), rows.get::<bool>(0, 1).unwrap_or_default()))?;
    let may_disable = is_operator || owner.is_some_and(|owner| owner::caller_is_named(&owner));
    match may_disable && !details || sabotage::removed(Guard::OwnDetails) {
        true => Ok(()),
        false => Err(denied),
    }
}

/// False if the service is marked in this way, or is fenced.
fn mark(service_id: i64, disabled: bool, reason: Option<&str>) -> Result<bool, Error> {
    // The reason is why the service is disabled: an enabled one has none.
    let kept = reason.filter(|_| disabled);
    let parameters = [arg(service_id), arg(disabled), kept.and_then(arg)];
    let marked: Option<String> = sql::SET_SERVICE_DISABLED.run(&parameters, |rows| rows.get(0, 0))?;
    let Some(cluster) = marked else {
        return Ok(false);
    };
    let kind = match disabled {
        true => EventKind::Disabled,
        false => EventKind::Enabled,
    };
    events::record(&Event {
        cluster: Some(&cluster),
        service_id: Some(service_id),
        details: json!({"reason": reason}),
        ..Event::of(kind)
    })?;
    Ok(true)
}

export! {
    volguard_update_service, pg_finfo_volguard_update_service => update_service_wrapper;
}
