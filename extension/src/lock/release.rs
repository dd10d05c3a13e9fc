//! What a holder does with a lock: moves its status on, gives it back.

use crate::cleanup::claim;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::owner;
use crate::pg::spi::{Arg, Rows, arg};
use crate::service::fence::{self, Gate};
use crate::service::register;
use crate::store::liveness::Liveness;
use crate::store::lookup::Held;
use crate::store::sql::{self, Statement};
use crate::store::tables::Tables;
use crate::store::write;
use crate::wait::{Line, hand_over};
use pgrx::pg_extern;

/// Runs a statement that deletes rows of `workers`, or takes them from their holders, and has the heads of their lines woken
/// after the commit.
pub fn remove(statement: &Statement, args: &[Arg]) -> Result<usize, Error> {
    remove_reading(statement, args, Rows::len)
}

/// As [`remove`], and hands the rows that went to `read`.
pub fn remove_reading<R>(
    statement: &Statement,
    args: &[Arg],
    read: impl FnOnce(&Rows) -> R,
) -> Result<R, Error> {
    statement.run(args, |rows| {
        for row in 0..rows.len() {
            let name = |column| rows.get::<String>(row, column).unwrap_or_default();
            let working = rows.get(row, 4) == Some(true);
            wake(&name(0), &name(1), &name(2), &name(3), working);
        }
        read(rows)
    })
}

#[pg_extern(sql = false)]
fn release(token: Option<i64>) -> Option<bool> {
    verb(None, || {
        let token = argument::required("token", token)?;
        let tables = Tables::open()?;
        let Some(held) = tables.held(token)? else {
            return Ok(Some(false));
        };
        if !register::may_act_for(held.service_id)? {
            return Err(fence::not_yours(token));
        }
        // Nobody fences the service before we commit: its work would be for the cleanup, and one that deletes the rows of
        // several releases in another order could deadlock with us.
        let gate = Gate::of(held.service_id);
        gate.enter()?;
        let released = give_back(&tables, token, &held)?;
        if !released {
            gate.leave();
        }
        Ok(Some(released))
    })
}

/// Deletes the row of a token, unless its service is fenced.
pub fn give_back(tables: &Tables, token: i64, held: &Held) -> Result<bool, Error> {
    if tables.service(held.service_id)? == Liveness::Fenced {
        return Ok(false);
    }
    let first = hand_over::nothing_written();
    if write::delete(tables, c"release()", &held.place)? {
        let [cluster, resource_type, resource_id, lock_name] = &held.names;
        let awaited = wake(cluster, resource_type, resource_id, lock_name, held.working);
        if first && awaited {
            hand_over::offer();
        }
        return Ok(true);
    }
    // The row has changed since, or a trigger has to see it go.
    Ok(remove(&sql::RELEASE, &[arg(token)])? == 1)
}

/// Has the heads of the lines woken that a deleted row was in the way of. True if there is one.
fn wake(
    cluster: &str,
    resource_type: &str,
    resource_id: &str,
    lock_name: &str,
    working: bool,
) -> bool {
    let key = Line::of_key(cluster, resource_type, resource_id, lock_name).wake_after_commit();
    let slot = || Line::of_work(cluster, resource_type, resource_id).wake_after_commit();
    (working && slot()) || key
}

#[pg_extern(sql = false)]
fn release_all(tokens: Option<Vec<Option<i64>>>) -> Option<i64> {
    verb(None, || {
        let tokens = token_list(tokens)?;
        refuse_foreign(&tokens)?;
        // A cleanup deletes the same rows in another order: one of the two waits at the gate, or they could deadlock.
        for service_id in holders(&tokens)? {
            Gate::of(service_id).enter()?;
        }
        let released = remove(&sql::RELEASE_ALL, &[arg(tokens), arg(owner::caller())])?;
        Ok(Some(released as i64))
    })
}

/// An error if one of the tokens belongs to a service of another role.
fn refuse_foreign(tokens: &[i64]) -> Result<(), Error> {
    let args = [arg(tokens.to_vec()), arg(owner::caller())];
    match sql::NOT_PERMITTED.run(&args, |rows| rows.get::<i64>(0, 0))? {
        Some(token) => Err(fence::not_yours(token)),
        None => Ok(()),
    }
}

/// The services that hold the tokens, in the order in which their gates are taken.
fn holders(tokens: &[i64]) -> Result<Vec<i64>, Error> {
    sql::HOLDERS.run(&[arg(tokens.to_vec())], Rows::numbers)
}

fn token_list(tokens: Option<Vec<Option<i64>>>) -> Result<Vec<i64>, Error> {
    argument::required("tokens", tokens)?
        .into_iter()
        .map(|token| argument::required("tokens", token))
        .collect()
}

#[pg_extern(sql = false)]
fn reconcile(service_id: Option<i64>, tokens: Option<Vec<Option<i64>>>) -> Option<i64> {
    verb(None, || {
        let service_id = argument::required("service_id", service_id)?;
        let tokens = token_list(tokens)?;
        register::acting_for(service_id)?;
        Gate::of(service_id).enter()?;
        register::require_unfenced(service_id)?;
        let claimed = claim::abandon_unknown(service_id, &tokens)?;
        let released = remove(&sql::RECONCILE, &[arg(service_id), arg(tokens)])?;
        Ok(Some((released + claimed) as i64))
    })
}

#[pg_extern(sql = false)]
fn set_status(token: Option<i64>, status: Option<&str>) {
    verb((), || {
        let token = argument::required("token", token)?;
        let status = argument::status(status)?;
        let holder = fence::holder(token)?.ok_or(Error::TokenNotHeld(token))?;
        let slot = Line::of_work(&holder.cluster, &holder.resource_type, &holder.resource_id);
        let taken = || Error::Busy {
            what: format!(
                "{} {} has another operation in progress",
                holder.resource_type, holder.resource_id
            ),
            hint: "One operation at a time per resource: wait for it to end, or acquire with the status and a wait.",
        };
        if status.is_some() && !holder.working && !slot.try_head()? {
            return Err(taken());
        }
        Gate::of(holder.service_id).enter()?;
        if sql::SET_STATUS.count(&[arg(token), status.and_then(arg)])? == 0 {
            // Looked up without a row lock: a refusal writes nothing.
            let alive = sql::UNFENCED.count(&[arg(holder.service_id)])? == 1;
            let held = alive && fence::holder(token)?.is_some();
            return Err(if held {
                taken()
            } else {
                Error::TokenNotHeld(token)
            });
        }
        if status.is_none() {
            slot.wake_after_commit();
        }
        Ok(())
    });
}

export! {
    volguard_release, pg_finfo_volguard_release => release_wrapper;
    volguard_release_all, pg_finfo_volguard_release_all => release_all_wrapper;
    volguard_reconcile, pg_finfo_volguard_reconcile => reconcile_wrapper;
    volguard_set_status, pg_finfo_volguard_set_status => set_status_wrapper;
}
