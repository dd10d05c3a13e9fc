//! Marking a cluster as disabled or enabled.
//!
//! A disabled cluster works like any other. The mark is visible to people, and a cleanup can select by it.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::arg;
use crate::store::events::{self, Event, EventKind};
use crate::store::sql;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use serde_json::json;

#[pg_extern(sql = false)]
fn set_cluster_disabled(cluster: Option<&str>, disabled: Option<bool>, reason: Option<&str>) {
    verb((), || {
        let cluster = argument::name("cluster", cluster)?;
        let disabled = argument::required("disabled", disabled)?;
        let reason = reason.map(|reason| argument::name("reason", Some(reason))).transpose()?;
        permit(cluster)?;
        // The reason is why the cluster is disabled: an enabled one has none.
        let kept = reason.filter(|_| disabled);
        let changed = sql::SET_CLUSTER_DISABLED.count(&[arg(cluster), arg(disabled), kept.and_then(arg)])?;
        if changed == 0 {
            return Ok(());
        }
        let kind = match disabled {
            true => EventKind::Disabled,
            false => EventKind::Enabled,
        };
        events::record(&Event { cluster: Some(cluster), details: json!({"reason": reason}), ..Event::of(kind) })
    });
}

/// Refuses a caller that is neither a member of the extension's owner nor of a role with services in the cluster, dead
/// or alive.
fn permit(cluster: &str) -> Result<(), Error> {
    let roles = sql::CLUSTER_ROLES.run(&[arg(cluster)], |rows| rows.each(|row| Some(rows.get::<Oid>(row, 0))))?;
    if roles.is_empty() {
        return Err(Error::Undefined {
            what: format!("cluster {cluster} does not exist"),
            hint: "A cluster is created when its first service registers. volguard.cluster_status lists all clusters."
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
