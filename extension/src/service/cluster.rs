//! Clusters: whether one is in use.
//!
//! A disabled cluster works as any other does. The mark is for people to see, and for cleanups to select by.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::store::events::{self, Event, Kind};
use crate::store::sql;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use serde_json::json;

#[pg_extern(sql = false)]
fn set_cluster_disabled(cluster: Option<&str>, disabled: Option<bool>, reason: Option<&str>) {
    verb((), || {
        let cluster = argument::name("cluster", cluster)?;
        let disabled = argument::required("disabled", disabled)?;
        let reason = reason
            .map(|reason| argument::name("reason", Some(reason)))
            .transpose()?;
        permit(cluster)?;
        // A cluster that is in use has no reason for being out of it.
        let kept = reason.filter(|_| disabled);
        let changed =
            sql::SET_CLUSTER_DISABLED.count(&[arg(cluster), arg(disabled), kept.and_then(arg)])?;
        if changed == 0 {
            return Ok(());
        }
        let kind = match disabled {
            true => Kind::Disabled,
            false => Kind::Enabled,
        };
        events::record(&Event {
            cluster: Some(cluster),
            details: json!({"reason": reason}),
            ..Event::of(kind)
        })
    });
}

/// Refuses a caller that is a member neither of the extension's owner nor of a role that has services in the cluster, dead or
/// alive.
fn permit(cluster: &str) -> Result<(), Error> {
    let roles = sql::CLUSTER_ROLES.run(&[arg(cluster)], |rows| {
        (0..rows.len())
            .map(|row| rows.get::<Oid>(row, 0))
            .collect::<Vec<_>>()
    })?;
    if roles.is_empty() {
        return Err(Error::Undefined {
            what: format!("cluster {cluster} does not exist"),
            hint: "A cluster comes with the first service that registers in it; volguard.cluster_status lists them."
                .to_owned(),
        });
    }
    if owner::caller_is(owner::role()?) || roles.into_iter().flatten().any(owner::caller_is) {
        return Ok(());
    }
    Err(Error::Denied {
        what: format!("cluster {cluster} belongs to other roles"),
        hint: "Act as a role that has registered a service in the cluster, or as a member of the extension's owner.",
    })
}

export! {
    volguard_set_cluster_disabled, pg_finfo_volguard_set_cluster_disabled => set_cluster_disabled_wrapper;
}
