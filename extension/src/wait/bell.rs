//! Bells: how a commit that puts work into a queue wakes one of the calls that wait for such work.
//!
//! A call that waits holds, shared, the bells of all work that it would take: locks with numbers, which no call takes
//! exclusively. After the commit the process that has put work there asks the lock table who holds a bell that fits,
//! and sets the latch of the first: of those that hold one bell, the one that has had it for longest.
//!
//! No wake-up is lost. A call takes its bells before it looks for work. So it sees what is visible by then, and what
//! becomes visible later finds its bell. A call that was woken leaves its bells before it looks for the last time: what
//! had rung for it is visible then, and it [rings](Ring::now) for what it leaves.

use super::lock_table::{self, Entry};
use super::tag::{Mode, Tag, TagKind};
use super::wake;
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::collections::HashSet;

/// A bell: the cluster, the host (empty for work that any host may take), the type and the operation, `None` for any.
fn tag(cluster: &str, host: &str, resource_type: Option<&str>, operation: Option<&str>) -> Tag {
    let (any, one) = ("any", "one");
    let (of_type, resource_type) = resource_type.map_or((any, ""), |name| (one, name));
    let (of_operation, operation) = operation.map_or((any, ""), |name| (one, name));
    Tag::of_names(TagKind::Bell, &[cluster, host, of_type, resource_type, of_operation, operation])
}

/// The bells of a call that waits.
pub struct Bells {
    tags: Vec<Tag>,
    held: bool,
}

impl Bells {
    /// Those of the work that a service on this host would take: of one type or of any, of these operations or of any.
    pub fn of(cluster: &str, host: &str, resource_type: Option<&str>, operations: Option<&[String]>) -> Self {
        let operations: Vec<Option<&str>> = match operations {
            None => vec![None],
            Some(operations) => operations.iter().map(|operation| Some(operation.as_str())).collect(),
        };
        let of_host = |host| operations.iter().map(move |operation| tag(cluster, host, resource_type, *operation));
        Bells { tags: of_host(host).chain(of_host("")).collect(), held: false }
    }

    /// The first of them, which tells them from those of calls that wait for other work.
    pub fn first(&self) -> &Tag {
        &self.tags[0]
    }

    pub fn are_held(&self) -> bool {
        self.held
    }

    pub fn take(&mut self) -> Result<(), Error> {
        if !self.held {
            for tag in &self.tags {
                tag.try_lock(Mode::Shared)?;
            }
            self.held = true;
        }
        Ok(())
    }

    /// After an error they go with the transaction, or the savepoint.
    pub fn leave(&mut self) {
        if std::mem::take(&mut self.held) {
            for tag in &self.tags {
                tag.unlock(Mode::Shared);
            }
        }
    }
}

/// The bells that a piece of work rings.
#[derive(Clone, Debug)]
pub struct Ring(Vec<Tag>);

impl Ring {
    /// Those of work on a type; the operation and the host are empty for none and for any.
    pub fn of(cluster: &str, host: &str, resource_type: &str, operation: &str) -> Self {
        let mut tags = Vec::with_capacity(4);
        for resource_type in [Some(resource_type), None] {
            if !operation.is_empty() {
                tags.push(tag(cluster, host, resource_type, Some(operation)));
            }
            tags.push(tag(cluster, host, resource_type, None));
        }
        Ring(tags)
    }

    /// Tells it from rings of other work.
    pub fn number(&self) -> (u16, u32, u32) {
        self.0[0].order()
    }

    /// Wakes a call once this transaction has committed.
    pub fn after_commit(self) {
        if !sabotage::removed(Guard::Bell) {
            wake::ring_after_commit(self);
        }
    }

    /// Wakes a call now, for work that is visible to it.
    pub fn now(&self) {
        if let Some(latch) = self.first_holder().filter(|_| !sabotage::removed(Guard::PassOn)) {
            // SAFETY: the latch of a PGPROC, which stays mapped as long as the backend lives. SetLatch raises nothing.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }

    /// How many calls hold one of the bells.
    pub fn waiting(&self) -> Result<usize, Error> {
        let rings = |entry: &Entry| {
            entry.holds() && self.0.iter().any(|tag| entry.is_same_lock(tag.kind() as u16, tag.number()))
        };
        let pids: HashSet<i32> =
            lock_table::entries()?.iter().filter(|entry| rings(entry)).map(|entry| entry.pid).collect();
        Ok(pids.len())
    }

    /// The latch of another process that holds one of the bells.
    pub fn first_holder(&self) -> Option<*mut pg_sys::Latch> {
        self.0.iter().find_map(|tag| {
            let mut latches = Vec::new();
            tag.holders_latches(&mut latches);
            latches.first().copied()
        })
    }
}
