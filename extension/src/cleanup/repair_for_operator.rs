//! `repair`: an operator has the crash rule of one piece of work applied, as if its service had crashed over it, though
//! the service may live.
//!
//! The work is taken from a service that lives in the transaction that runs the rule: either both happen, and the token
//! is dead, or neither, and the service goes on. No lock of the service is needed. A fence excludes new rows of a
//! service, and checks of all its tokens; here only this token ends, and whatever checks it, or changes its row, has
//! the row locked. What is locked is not taken.
//!
//! Only this call gives a process such an order. Any other that meets work of a service which lives, because that has
//! woken up meanwhile, leaves it alone.

use super::ask::{self, Asked};
use super::awaiting::Awaiting;
use super::order::State;
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export, verb};
use crate::pg::lookup_locks;
use crate::pg::spi::arg;
use crate::service::in_time;
use crate::store::{spelling, sql};
use pgrx::pg_extern;
use std::time::{Duration, Instant};

/// How long the process is waited for. It does not go on for as long.
const PATIENCE: Duration = Duration::from_secs(30);

#[pg_extern(sql = false)]
fn repair(resource_type: Option<&str>, resource_id: Option<&str>) -> Option<&'static str> {
    verb(None, || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let resource_id = spelling::spell(resource_type, resource_id, "resource_id")?;
        let name = format!("{resource_type} {resource_id}");
        let token = lookup_locks::given_back(|| work_on(resource_type, &resource_id, &name))?;
        let end = Instant::now() + PATIENCE;
        let asked = Asked { token, resource_type: resource_type.into() };
        let answer = ask::repair_for_operator(asked, end)?;
        let in_time = Instant::now() < end;
        let left = |otherwise: &str| {
            let why = answer.reason.as_deref().unwrap_or(otherwise);
            format!("{name} was not repaired: {}", why.strip_prefix("not tried: ").unwrap_or(why))
        };
        Err(match answer.state(token) {
            State::Cleaned => return Ok(Some("cleaned")),
            State::Stale => return Ok(Some("stale")),
            State::Retried => return Ok(Some("retried")),
            State::AwaitingLater => Error::Undefined {
                what: match answer.without_table.is_empty() {
                    true => left("there is no crash rule"),
                    false => left(Awaiting::table_missing(resource_type)?.reason().unwrap_or_default()),
                },
                hint: "The work is as before. Set a rule with volguard.on_crash, or give the work up with volguard.reset_resource."
                    .to_owned(),
            },
            State::Failed => failed(left("its crash rule has failed")),
            State::Trying if in_time => failed(left("the process that ran the crash rule has ended")),
            _ if answer.no_process => Error::Busy {
                what: left("no process is left for it"),
                hint: "Try again, or raise max_worker_processes.",
            },
            State::Untried if in_time => busy(left("the work is not there any more, or its begin is not committed")),
            _ => busy(left("the process for that has not ended")),
        })
    })
}

/// The token of the work on a resource.
fn work_on(resource_type: &str, resource_id: &str, name: &str) -> Result<i64, Error> {
    let key = [arg(resource_type), arg(resource_id)];
    let found = sql::HELD_OF_RESOURCE
        .run(&key, |rows| Some((rows.get::<i64>(0, 0)?, rows.get::<String>(0, 1), rows.get::<i64>(0, 2))))?;
    match found {
        Some((work_id, Some(_), None)) => Err(Error::State {
            what: format!("{name} has no work in progress: its work {work_id} waits for a service"),
            hint: "There is nothing to repair. Take the work out of its queue with volguard.cancel_work.",
        }),
        Some((token, Some(_), Some(_))) => Ok(token),
        Some((_, None, _)) => Err(Error::State {
            what: format!("{name} has plain locks only, and no work in progress"),
            hint: "There is nothing to repair. Take locks away with volguard.force_release or volguard.reset_resource.",
        }),
        None => Err(Error::Undefined {
            what: format!("{name} has no work in progress"),
            hint: "volguard.lock_status shows all locks and all work.".to_owned(),
        }),
    }
}

fn failed(what: String) -> Error {
    let hint = "The work is as before: the rule has changed nothing. Mend the rule and try again, or give the work up with volguard.reset_resource.";
    Error::State { what, hint }
}

fn busy(what: String) -> Error {
    Error::Busy { what, hint: in_time::HINT }
}

export! {
    volguard_repair, pg_finfo_volguard_repair => repair_wrapper;
}
