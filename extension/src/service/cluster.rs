//! Clusters: who may register in them, their removal, and the mark that they are out of use.
//!
//! Services of a disabled cluster take no submitted work. Else it works like any other. The mark is visible to people,
//! and a cleanup can select by it.

use super::fence::{self, FenceReason};
use super::service_lock::ServiceLock;
use super::{in_time, operator};
use crate::input::argument;
use crate::pg::catch::check_interrupts;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::spi::{Rows, arg, transaction_snapshot_only};
use crate::pg::{lookup_locks, owner};
use crate::sabotage::{self, Guard};
use crate::store::clusters::Owners;
use crate::store::events::{self, Event, EventKind};
use crate::store::sql;
use crate::wait::Deadline;
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::pg_extern;
use serde_json::json;
use std::ffi::CStr;

/// The cluster of services that register without one, so that they contend for the same locks. It belongs to no role.
pub const DEFAULT_CLUSTER: &str = "default";

/// Enters a cluster to register in it, and makes it if there is none. Its owner, which stays the owner until the
/// transaction ends; `None` if it has none. An error if the caller is not a member of the owner.
pub fn enter(cluster: &str, deadline: &Deadline) -> Result<Option<String>, Error> {
    if cluster == DEFAULT_CLUSTER {
        return enter_default().map(|()| None);
    }
    let changing = || format!("cluster {cluster} is being given to another role, or removed");
    let enter = || match sabotage::removed(Guard::ClusterLock) {
        false => entered(cluster),
        true => look_up(cluster),
    };
    loop {
        // Without the lock first: a role that has no right here waits for no one.
        match look_up(cluster)? {
            Some(owner) => {
                permit(cluster, owner.as_deref())?;
                if let Some(owner) = in_time::run(deadline, changing, enter)? {
                    permit(cluster, owner.as_deref())?;
                    return Ok(owner);
                }
            }
            None => make(cluster, &owner::name(owner::caller()), deadline)?,
        }
        check_interrupts()?;
    }
}

/// No role waits for another one in the cluster that belongs to all. Its row, which the views need and nothing else,
/// is made by one registration, however long that transaction stays open; and it is never removed.
fn enter_default() -> Result<(), Error> {
    if look_up(DEFAULT_CLUSTER)?.is_none()
        && Tag::of_names(TagKind::NewCluster, &[DEFAULT_CLUSTER]).try_lock(Mode::Exclusive)?
    {
        sql::ADD_CLUSTER.count(&[arg(DEFAULT_CLUSTER), None])?;
    }
    Ok(())
}

/// Makes a cluster, unless another call has. One at a time.
fn make(cluster: &str, owner: &str, deadline: &Deadline) -> Result<(), Error> {
    let tag = Tag::of_names(TagKind::NewCluster, &[cluster]);
    in_time::lock(&tag, deadline, || format!("cluster {cluster} is being made by another transaction"))?;
    let making = || format!("cluster {cluster} is being removed");
    in_time::run(deadline, making, || sql::ADD_CLUSTER.count(&[arg(cluster), arg(owner)])).map(drop)
}

/// Its owner, if it has one; `None` if there is no such cluster. Leaves no lock on the table, since the call may wait
/// next.
fn look_up(cluster: &str) -> Result<Option<Option<String>>, Error> {
    lookup_locks::given_back(|| Owners::open()?.of(cluster))
}

/// The same; the owner stays the owner until the transaction ends.
fn entered(cluster: &str) -> Result<Option<Option<String>>, Error> {
    sql::ENTER_CLUSTER.run(&[arg(cluster)], |rows| (rows.len() > 0).then(|| rows.get(0, 0)))
}

fn permit(cluster: &str, owner: Option<&str>) -> Result<(), Error> {
    if owner.is_none_or(owner::caller_is_named) || sabotage::removed(Guard::ClusterOwner) {
        return Ok(());
    }
    Err(Error::Denied {
        what: format!("cluster {cluster} belongs to another role"),
        hint: "Register in a cluster of another name, or act as a member of the owner, which volguard.cluster_status names. An operator can give a cluster away with volguard.set_cluster_owner.",
    })
}

/// Removes clusters that have no services any more: this one, or all. Those that an operator has named an owner for
/// stay, and those that are disabled.
///
/// The removal keeps registrations in the cluster waiting until the transaction ends. So only members of its owner
/// remove it, and members of the extension's owner.
pub fn remove_empty(cluster: Option<&str>) -> Result<(), Error> {
    // On one snapshot, a cluster that has just changed would be a serialization failure.
    if cluster == Some(DEFAULT_CLUSTER) || transaction_snapshot_only() {
        return Ok(());
    }
    let of_all = owner::caller_is(owner::role()?) || sabotage::removed(Guard::OwnEmptyClusters);
    let parameters = [cluster.and_then(arg), arg(owner::caller()), arg(of_all)];
    let mut empty = Vec::new();
    for name in sql::LOCK_EMPTY_CLUSTERS.run(&parameters, |rows| rows.each(|row| rows.get::<String>(row, 0)))? {
        if queue_of(&name).try_lock(Mode::Exclusive)? {
            empty.push(name);
        }
    }
    if !empty.is_empty() {
        sql::REMOVE_EMPTY_CLUSTERS.count(&[arg(empty.clone())])?;
        sql::REMOVE_SUBMITTERS.count(&[arg(empty)])?;
    }
    Ok(())
}

fn queue_of(cluster: &str) -> Tag {
    Tag::of_names(TagKind::ClusterQueue, &[cluster])
}

/// A cluster that work is submitted to. It is not removed before the transaction ends, or this is left.
pub struct Entered(Tag);

impl Entered {
    /// An error if there is no such cluster, or the caller may not submit work to it. Both are looked at under the
    /// lock.
    pub fn to_submit(cluster: &str) -> Result<Self, Error> {
        let entered = Entered(queue_of(cluster));
        let removing = || format!("cluster {cluster} is being removed");
        in_time::lock_shared(&entered.0, &in_time::deadline(), removing)?;
        let permitted = look_up(cluster)?.ok_or_else(|| unknown(cluster)).and_then(|owner| match owner {
            Some(owner) if !may_submit(cluster, &owner)? => Err(Error::Denied {
                what: format!("cluster {cluster} belongs to another role"),
                hint: "Act as a member of the owner, which volguard.cluster_status names, or have the owner or an operator call volguard.grant_submit.",
            }),
            _ => Ok(()),
        });
        permitted.map(|()| entered)
    }

    /// Only if no work was submitted.
    pub fn leave(self) {
        self.0.unlock(Mode::Shared);
    }
}

fn may_submit(cluster: &str, owner: &str) -> Result<bool, Error> {
    if owner::caller_is_named(owner) || sabotage::removed(Guard::MaySubmit) {
        return Ok(true);
    }
    let roles = lookup_locks::given_back(|| {
        sql::SUBMITTERS.run(&[arg(cluster)], |rows| rows.each(|row| rows.get::<String>(row, 0)))
    })?;
    Ok(roles.iter().any(|role| owner::caller_is_named(role)))
}

/// Whether the caller may do with the waiting work of a cluster what its owner may. The cluster `default` has no owner.
pub fn is_owned_by_caller(cluster: &str) -> Result<bool, Error> {
    Ok(look_up(cluster)?.flatten().is_some_and(|owner| owner::caller_is_named(&owner)))
}

/// Waits for registrations in the cluster, and keeps others out until the transaction ends. Its owner, and whether an
/// operator named it; `None` if there is no such cluster.
fn close(cluster: &str, deadline: &Deadline) -> Result<Option<(Option<String>, bool)>, Error> {
    let registering = || format!("a service is being registered in cluster {cluster}");
    in_time::run(deadline, registering, || {
        sql::CLOSE_CLUSTER
            .run(&[arg(cluster)], |rows| (rows.len() > 0).then(|| (rows.get(0, 0), rows.get(0, 1).unwrap_or_default())))
    })
}

fn unfenced_but_of(cluster: &str, owner: Option<&str>) -> Result<Vec<i64>, Error> {
    sql::SERVICES_OF_OTHERS.run(&[arg(cluster), owner.and_then(arg)], Rows::numbers)
}

fn not_default<'a>(cluster: Option<&'a str>, hint: &'static str) -> Result<&'a str, Error> {
    match argument::name("cluster", cluster)? {
        DEFAULT_CLUSTER => Err(Error::invalid("cluster", "is the one of services that name none", hint)),
        cluster => Ok(cluster),
    }
}

fn unknown(cluster: &str) -> Error {
    Error::Undefined {
        what: format!("cluster {cluster} does not exist"),
        hint: "A cluster is created when its first service registers. volguard.cluster_status lists all clusters."
            .to_owned(),
    }
}

#[pg_extern(sql = false)]
fn set_cluster_owner(cluster: Option<&str>, owner: Option<&CStr>) {
    verb((), || {
        let cluster = not_default(cluster, "It is there for all roles. Give away a cluster that has a name.")?;
        let owner = argument::required("owner", owner)?.to_string_lossy();
        if owner::by_name(&owner).is_none() {
            return Err(Error::Undefined {
                what: format!("role \"{owner}\" does not exist"),
                hint: "Create the role first.".to_owned(),
            });
        }
        let deadline = in_time::deadline();
        let (before, named) = loop {
            if let Some(found) = close(cluster, &deadline)? {
                break found;
            }
            make(cluster, &owner, &deadline)?;
            check_interrupts()?;
        };
        if named && before.as_deref() == Some(&*owner) {
            return Ok(());
        }
        sql::SET_CLUSTER_OWNER.count(&[arg(cluster), arg(&*owner)])?;
        let services = unfenced_but_of(cluster, Some(&owner))?;
        for service_id in &services {
            ServiceLock::of(*service_id).lock_exclusive_in_time(&deadline)?;
        }
        fence::in_time(&deadline, &services, || fence::fence_all(&services, FenceReason::OwnerChanged))?;
        events::record(&Event {
            cluster: Some(cluster),
            details: json!({"from": before, "to": owner, "services_fenced": services.len()}),
            ..Event::of(EventKind::OwnerChanged)
        })
    });
}

#[pg_extern(sql = false)]
fn grant_submit(cluster: Option<&str>, role: Option<&CStr>) {
    verb((), || {
        let (cluster, role) = submitter(cluster, role)?;
        if owner::by_name(&role.to_string_lossy()).is_none() {
            return Err(Error::Undefined {
                what: format!("role \"{}\" does not exist", role.to_string_lossy()),
                hint: "Create the role first.".to_owned(),
            });
        }
        sql::ADD_SUBMITTER.count(&[arg(cluster), arg(role)]).map(drop)
    });
}

#[pg_extern(sql = false)]
fn revoke_submit(cluster: Option<&str>, role: Option<&CStr>) {
    verb((), || {
        let (cluster, role) = submitter(cluster, role)?;
        sql::REMOVE_SUBMITTER.count(&[arg(cluster), arg(role)]).map(drop)
    });
}

/// Checks the arguments, and that the caller is a member of the cluster's owner, or an operator. The cluster stays
/// until the transaction ends.
fn submitter<'a>(cluster: Option<&'a str>, role: Option<&'a CStr>) -> Result<(&'a str, &'a CStr), Error> {
    let cluster = not_default(cluster, "Every role may submit work to it.")?;
    let role = argument::required("role", role)?;
    let owner = look_up(cluster)?.ok_or_else(|| unknown(cluster))?;
    let is_owner = owner.is_some_and(|owner| owner::caller_is_named(&owner));
    if !is_owner && !operator::caller_is_one()? {
        return Err(Error::Denied {
            what: format!("cluster {cluster} belongs to another role"),
            hint: "Only its owner and operators say who may submit work to it.",
        });
    }
    let changing = || format!("cluster {cluster} is being given to another role, or removed");
    match in_time::run(&in_time::deadline(), changing, || entered(cluster))? {
        Some(_) => Ok((cluster, role)),
        None => Err(unknown(cluster)),
    }
}

#[pg_extern(sql = false)]
fn remove_cluster(cluster: Option<&str>) {
    verb((), || {
        let cluster = not_default(cluster, "It stays, since it is there for all roles.")?;
        let (owner, _) = close(cluster, &in_time::deadline())?.ok_or_else(|| unknown(cluster))?;
        let submitting = || format!("work is being submitted to cluster {cluster}");
        in_time::lock(&queue_of(cluster), &in_time::deadline(), submitting)?;
        let living = unfenced_but_of(cluster, None)?.len();
        if living > 0 {
            return Err(Error::Remains {
                what: format!("cluster {cluster} has services that are not fenced: {living}"),
                hint: "Stop them, and have the dead ones fenced by volguard.cleanup.",
            });
        }
        if sql::CLUSTER_HAS_ROWS.run(&[arg(cluster)], |rows| rows.get(0, 0).unwrap_or(true))? {
            return Err(Error::Remains {
                what: format!("fenced services of cluster {cluster} have left locks or work"),
                hint: "Call volguard.cleanup for the cluster. volguard.lock_status shows what is left.",
            });
        }
        if sql::CLUSTER_HAS_WORK.run(&[arg(cluster)], |rows| rows.get(0, 0).unwrap_or(true))? {
            return Err(Error::Remains {
                what: format!("work waits for a service of cluster {cluster}"),
                hint: "Have it done, or cancelled by volguard.cancel_work. volguard.lock_status shows what waits.",
            });
        }
        let services = sql::REMOVE_SERVICES_OF_CLUSTER.count(&[arg(cluster)])?;
        sql::REMOVE_CLUSTER.count(&[arg(cluster)])?;
        sql::REMOVE_SUBMITTERS.count(&[arg(vec![cluster.to_owned()])])?;
        events::record(&Event {
            cluster: Some(cluster),
            details: json!({"owner": owner, "services": services}),
            ..Event::of(EventKind::ClusterRemoved)
        })
    });
}

#[pg_extern(sql = false)]
fn set_cluster_disabled(cluster: Option<&str>, disabled: Option<bool>, reason: Option<&str>) {
    verb((), || {
        let cluster = argument::name("cluster", cluster)?;
        let disabled = argument::required("disabled", disabled)?;
        let reason = reason.map(|reason| argument::name("reason", Some(reason))).transpose()?;
        if look_up(cluster)?.is_none() {
            return Err(unknown(cluster));
        }
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

export! {
    volguard_set_cluster_owner, pg_finfo_volguard_set_cluster_owner => set_cluster_owner_wrapper;
    volguard_remove_cluster, pg_finfo_volguard_remove_cluster => remove_cluster_wrapper;
    volguard_grant_submit, pg_finfo_volguard_grant_submit => grant_submit_wrapper;
    volguard_revoke_submit, pg_finfo_volguard_revoke_submit => revoke_submit_wrapper;
    volguard_set_cluster_disabled, pg_finfo_volguard_set_cluster_disabled => set_cluster_disabled_wrapper;
}
