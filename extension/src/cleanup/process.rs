//! The process that runs crash rules: those of one owner of tables, and then it ends.
//!
//! A rule fires triggers, which are anyone's code. In a session of its own it finds no cursor, temporary table,
//! prepared statement or setting of a caller, and leaves none: also none to the rules of another owner, since that
//! one's run in another process. Each try of a rule is a transaction, so that what fails at the commit is a failed try
//! as well.
//!
//! One process at a time runs the rules of an owner.

use super::fences::fence_late;
use super::kind;
use super::order::{Order, State};
use super::repair::KindRepair;
use super::retry;
use super::rules;
use crate::pg::error::Error;
use crate::pg::export::raise_pending;
use crate::pg::spi::{Rows, arg};
use crate::pg::transaction::transaction;
use crate::pg::{owner, process, version};
use crate::sabotage::{self, Guard};
use crate::service::service_lock::ServiceLock;
use crate::store::sql;
use crate::wait::tag::{Mode, Tag, TagKind};
use pgrx::log;
use pgrx::pg_sys::{self, Datum, Oid};
use std::time::{Duration, Instant};

/// How long a process goes on with repairs.
const MOST_TIME: Duration = Duration::from_secs(10);

/// How long a trigger, or a rule that reads other tables, may wait for a lock. Below `deadlock_timeout`, so that a
/// circle opens before Postgres looks for one.
const PATIENCE: &std::ffi::CStr = c"500ms";

/// Why nothing is done, if it is.
pub const RULES_RUN: &str = "another process runs the crash rules of the table's owner";

/// The lock of the call that has such a process started, until it has ended.
pub fn turn_of(owner: Oid) -> Tag {
    Tag::of_number(TagKind::RepairTurns, owner.to_u32().into())
}

/// The lock of the process that runs the rules of an owner.
pub fn lock_of(owner: Oid) -> Tag {
    Tag::of_number(TagKind::Repairs, owner.to_u32().into())
}

/// # Safety
/// Called by Postgres as the main function of the process, with the handle of an order.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn volguard_repair_worker(order: Datum) {
    work(order);
    // SAFETY: nothing with a destructor is left in this frame, and below it are frames of Postgres.
    unsafe { raise_pending() };
}

#[pgrx::pg_guard]
extern "C-unwind" fn work(order: Datum) {
    let Some(order) = Order::attach(order) else {
        return;
    };
    process::connect(order.database(), c"volguard repair worker");
    order.set_started();
    process::set(c"lock_timeout", PATIENCE);
    for (name, value) in rules::SETTINGS {
        process::set(name, value);
    }
    sabotage::adopt(order.test());
    // SAFETY: a C string; shown as what the process does.
    unsafe {
        let activity = c"volguard: repairing work by crash rules";
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
    }
    if let Err(failure) = repair(&order) {
        log!("volguard: a repair has ended early: {failure}");
    }
}

fn repair(order: &Order) -> Result<(), crate::pg::transaction::Failure> {
    let until = Instant::now() + MOST_TIME;
    let (retried, work) = transaction(|| match begin(order)? {
        true => {
            let retried = retry::put_back(&order.tokens())?;
            Ok((retried, sql::WORK_OF_TOKENS.run(&[arg(order.tokens()), arg(order.of_the_living())], kind::read_held)?))
        }
        false => Ok((Vec::new(), kind::Work::new())),
    })?;
    retried.into_iter().for_each(|token| order.set(token, State::Retried));
    for (kind, items) in work {
        if Instant::now() >= until {
            order.set_unfinished();
            break;
        }
        KindRepair::of(&kind, order, until).run(items)?;
    }
    Ok(())
}

/// False if nothing is to be done: another process runs the owner's rules, or what is named volguard isn't the
/// extension. This process may do anything.
fn begin(order: &Order) -> Result<bool, Error> {
    version::check()?;
    if !sabotage::removed(Guard::RuleSession) && !sabotage::removed(Guard::RuleRole) {
        process::be_session_of(order.owner());
    }
    match owner::role() {
        Err(Error::NotInstalled) => return Ok(false),
        role => role?,
    };
    if sql::IS_INSTALLED.count(&[])? == 0 {
        return Ok(false);
    }
    if !lock_of(order.owner()).try_lock_for_session(Mode::Exclusive)? {
        order.explain(RULES_RUN);
        return Ok(false);
    }
    fence(order)?;
    Ok(true)
}

/// Fences services whose leases are over: an acquire, or a claim, that met their work could not have committed that.
fn fence(order: &Order) -> Result<(), Error> {
    let mut late = Vec::new();
    for service_id in sql::LATE_SERVICES_OF_TOKENS.run(&[arg(order.tokens())], Rows::numbers)? {
        if ServiceLock::of(service_id).try_lock_exclusive()? {
            late.push(service_id);
        }
    }
    if !late.is_empty() {
        fence_late(&late)?;
    }
    Ok(())
}
