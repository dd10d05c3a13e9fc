//! Says why a lock isn't free, in sentences for people. Reads only, so that it works on a standby.

use super::holder::Holder;
use super::sentence::{age, short, span, wrapped};
use super::waiting::{InFront, Waiter, WaitsFor, waiters};
use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::export::{export_readers, passing_verb};
use crate::pg::spi::arg;
use crate::store::{spelling, sql};
use crate::wait::WaitQueue;
use crate::wait::lock_table::{self, Entry};
use pgrx::iter::SetOfIterator;
use pgrx::{pg_extern, pg_sys};
use std::collections::HashMap;

/// How many waiters are named.
const NAMED: usize = 10;

#[pg_extern(sql = false)]
fn why(
    resource_type: Option<&str>,
    resource_id: Option<&str>,
    lock_name: Option<&str>,
) -> SetOfIterator<'static, String> {
    SetOfIterator::new(passing_verb(Vec::new(), || {
        let resource_type = argument::name("resource_type", resource_type)?;
        let resource_id = argument::resource_id(resource_id)?;
        let lock_name = argument::lock_name(lock_name)?;
        let resource_id = spelling::spell(resource_type, resource_id, "resource_id")?;
        sentences(resource_type, &resource_id, lock_name)
    }))
}

fn sentences(resource_type: &str, resource_id: &str, lock_name: &str) -> Result<Vec<String>, Error> {
    let resource = format!("{} {}", short(resource_type), short(resource_id));
    let lock = |name: &str| match name {
        "" => format!("The lock of {resource}"),
        name => format!("The lock {} of {resource}", short(name)),
    };
    let mut lines = Vec::new();
    let queues =
        [WaitQueue::of_key(resource_type, resource_id, lock_name), WaitQueue::of_work(resource_type, resource_id)];
    let holders = Holder::find(resource_type, resource_id, lock_name)?;
    for holder in &holders {
        let (what, queue) = match holder.lock_name == lock_name {
            true => (lock(lock_name), queues[0]),
            false => (format!("The work slot of {resource}, by its lock {},", named(&holder.lock_name)), queues[1]),
        };
        lines.extend(holder.describe(&what, !is_own(&queue)?)?);
    }
    let has_key = holders.iter().any(|holder| holder.lock_name == lock_name);
    let waiters = waiters()?;
    if !has_key {
        lines.extend(without_row(&lock(lock_name), &queues[0], &waiters)?);
    }
    for (queue, what) in queues.iter().zip([WaitsFor::Lock, WaitsFor::WorkSlot]) {
        let number = queue.tag().number();
        let kind = queue.tag().kind() as u16;
        let of_queue = |waiter: &&Waiter| waiter.waits_for.kind() == kind && waiter.number == number;
        let line: Vec<&Waiter> = waiters.iter().filter(of_queue).collect();
        lines.extend(in_line(&line, what)?);
    }
    Ok(lines.iter().flat_map(|line| wrapped(line)).collect())
}

/// Whether this transaction heads a queue, as one does that has taken the lock.
fn is_own(queue: &WaitQueue) -> Result<bool, Error> {
    // SAFETY: a plain variable of the backend.
    let own = unsafe { pg_sys::MyProcPid };
    let tag = queue.tag();
    let heads = |entry: &Entry| {
        entry.pid == own && entry.holds_exclusive && entry.is_same_lock(tag.kind() as u16, tag.number())
    };
    Ok(lock_table::entries()?.iter().any(heads))
}

fn named(lock_name: &str) -> String {
    match lock_name {
        "" => "without a name".to_owned(),
        name => short(name),
    }
}

/// No row has the key: it is free, or a transaction has taken it and has not committed.
fn without_row(what: &str, queue: &WaitQueue, waiters: &[Waiter]) -> Result<Vec<String>, Error> {
    let tag = queue.tag();
    let head = lock_table::entries()?.into_iter().find(|entry| {
        entry.holds_exclusive
            && entry.is_same_lock(tag.kind() as u16, tag.number())
            && !waiters.iter().any(|waiter| waiter.pid == entry.pid && waiter.number == tag.number())
    });
    let Some(head) = head else {
        return Ok(vec![format!("{what} is free: no committed row has it.")]);
    };
    let front = InFront::of(&head);
    Ok(match front.pid {
        0 => vec![
            format!("{what} is in the hands of a prepared transaction (pg_prepared_xacts has it)."),
            "Nothing is committed yet: end it by COMMIT PREPARED or ROLLBACK PREPARED.".to_owned(),
        ],
        _ => vec![
            format!("{what} is in the hands of an uncommitted transaction."),
            format!("{} has it.", front.describe()),
            "What it took, or gave back, counts for others when it commits.".to_owned(),
        ],
    })
}

/// Those that wait, in order.
fn in_line(line: &[&Waiter], what: WaitsFor) -> Result<Vec<String>, Error> {
    if line.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = line.iter().take(NAMED).map(|waiter| waiter.service_id).collect();
    let names: HashMap<i64, String> = sql::NAMES_OF_SERVICES.run(&[arg(ids)], |rows| {
        let read = |row| {
            let text = |column| rows.get::<String>(row, column);
            Some((rows.get(row, 0)?, format!("{} on {}", short(&text(2)?), short(&text(1)?))))
        };
        rows.each(read).into_iter().collect()
    })?;
    let waits = match what {
        WaitsFor::WorkSlot => "for the work slot of this resource",
        _ => "for this lock",
    };
    let mut lines = vec![match line.len() {
        1 => format!("1 call waits {waits}:"),
        many => format!("{many} calls wait {waits}:"),
    }];
    for waiter in line.iter().take(NAMED) {
        let service = names.get(&waiter.service_id).map_or("unknown", String::as_str);
        let row =
            if waiter.waits_for == WaitsFor::Row { ", has its turn, waits for the row of the resource" } else { "" };
        lines.push(format!("  {}. {service}, for {}{row}", waiter.place, span(age(waiter.since))));
        lines.push(format!(
            "     (service {}, session {} of role {})",
            waiter.service_id,
            waiter.pid,
            short(&waiter.role)
        ));
    }
    if line.len() > NAMED {
        lines.push(format!("  and {} more: see the view volguard.waiters.", line.len() - NAMED));
    }
    Ok(lines)
}

export_readers! {
    volguard_why, pg_finfo_volguard_why => why_wrapper;
}
