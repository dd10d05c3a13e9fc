//! The lanes of a cluster's queue: waiting work of one priority, of one operation on one type, for one host or for any.
//!
//! Within a lane the work is in the order of the index, by the time since when it may be taken. So the first row of
//! each lane tells which lane is next, and whether any of its work is due, however long the lanes are.

use crate::cleanup::permission;
use crate::input::argument;
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use crate::store::queue::Queue;
use crate::store::sql;
use crate::store::tracked::Resource;
use crate::store::waiting::Waiting;
use crate::wait::bell::{Bells, Ring};
use pgrx::pg_sys::{Oid, TimestampTz};

/// How many operations a call names at the most.
const MOST_OPERATIONS: usize = 16;

/// What a service wants to do.
pub struct Wishes {
    resource_type: Option<String>,
    /// `None`: any, also work without one.
    operations: Option<Vec<String>>,
    /// As it is shown to others.
    listed: String,
}

impl Wishes {
    pub fn read(resource_type: Option<String>, operations: Option<Vec<Option<String>>>) -> Result<Self, Error> {
        if resource_type.is_some() {
            argument::name("resource_type", resource_type.as_deref())?;
        }
        let operations = match operations {
            None => None,
            Some(operations) => Some(argument::list("operations", Some(operations))?),
        };
        if let Some(operations) = &operations {
            if operations.is_empty() || operations.len() > MOST_OPERATIONS {
                let hint = "Pass the operations that the service does; NULL, or nothing, for all.";
                return Err(Error::invalid("operations", "must have 1 to 16 elements", hint));
            }
            for operation in operations {
                argument::name("operations", Some(operation))?;
            }
        }
        let listed = operations.as_ref().map(|operations| operations.join(", ")).unwrap_or_default();
        Ok(Wishes { resource_type, operations, listed })
    }

    pub fn bells(&self, cluster: &str, host: &str) -> Bells {
        Bells::of(cluster, host, self.resource_type.as_deref(), self.operations.as_deref())
    }

    /// What a call with these wishes waits for: a type, or an empty text, and operations.
    pub fn names(&self) -> [&str; 3] {
        [self.resource_type.as_deref().unwrap_or_default(), &self.listed, ""]
    }

    /// Tells them from others.
    pub fn key(&self) -> String {
        let operations = self.operations.as_ref().map(|operations| operations.join("\n"));
        format!("{:?} {operations:?}", self.resource_type)
    }

    fn include(&self, lane: &Lane) -> bool {
        self.resource_type.as_ref().is_none_or(|resource_type| *resource_type == lane.resource_type)
            && self.operations.as_ref().is_none_or(|operations| operations.contains(&lane.operation))
    }

    pub fn names_a_type(&self) -> bool {
        self.resource_type.is_some()
    }
}

/// A lane, by its first work.
pub type Lane = Waiting;

/// A service that looks for work.
pub struct Service<'s> {
    pub cluster: &'s str,
    pub host: &'s str,
}

/// The lanes that a service may take work from.
pub fn find(queue: &Queue, service: &Service, wishes: &Wishes) -> Result<Vec<Lane>, Error> {
    let hosts = match sabotage::removed(Guard::OnlyHost) {
        false => vec![service.host.to_owned(), String::new()],
        true => sql::ALL_HOSTS.run(&[], |rows| rows.each(|row| rows.get::<String>(row, 0)))?,
    };
    let mut lanes = queue.lanes(&hosts)?;
    lanes.retain(|lane| wishes.include(lane));
    Ok(lanes)
}

/// The same lanes with the work that is first now, from that on that was first before.
pub fn from_marks(queue: &Queue, marks: &[Lane]) -> Result<Vec<Lane>, Error> {
    let first = |mark| queue.first_from(mark).transpose();
    marks.iter().filter_map(first).collect()
}

/// When the first work will be due of lanes that have none now.
pub fn due_after(lanes: &[Lane], now: TimestampTz) -> Option<TimestampTz> {
    lanes.iter().map(|lane| lane.not_before).filter(|at| *at > now).min()
}

/// Those that have work that is due, the next one first.
pub fn in_order(mut lanes: Vec<Lane>, now: TimestampTz) -> Vec<Lane> {
    lanes.retain(|lane| lane.not_before <= now);
    lanes.sort_unstable_by_key(Lane::rank);
    lanes
}

/// Divides lanes into those whose work the role of a service may do, and the others. An error if there are only
/// others.
pub fn permitted(lanes: Vec<Lane>, role: Oid, wishes: &Wishes) -> Result<(Vec<Lane>, Vec<Lane>), Error> {
    let (mut permitted, mut others) = (Vec::new(), Vec::new());
    let mut refusal = None;
    for lane in lanes {
        let checked = match Resource::find(&lane.resource_type)? {
            Some(Resource { target, status_column, .. }) => {
                permission::to_update(&lane.resource_type, target, &status_column, role)
                    .and_then(|()| permission::to_see_all(target, role))
            }
            // No update depends on it any more.
            None => Ok(()),
        };
        match checked {
            Ok(()) => permitted.push(lane),
            // One type that can't be worked on keeps no service from the others.
            Err(error @ (Error::Denied { .. } | Error::Undefined { .. } | Error::Column { .. })) => {
                refusal = Some(error);
                others.push(lane);
            }
            Err(other) => return Err(other),
        }
    }
    match refusal {
        // A call for one type is told why it gets nothing.
        Some(refusal) if permitted.is_empty() && wishes.names_a_type() => Err(refusal),
        _ => Ok((permitted, others)),
    }
}

impl Lane {
    /// Tells it from the other lanes of its cluster.
    pub fn key(&self) -> (i32, &str, &str, &str) {
        (self.urgency, &self.host, &self.operation, &self.resource_type)
    }

    /// The smaller goes first, whatever its time.
    pub fn class(&self) -> (i32, bool) {
        (self.urgency, self.host.is_empty())
    }

    /// The smallest goes first.
    pub fn rank(&self) -> ((i32, bool), TimestampTz, i64) {
        (self.class(), self.not_before, self.work_id)
    }

    pub fn is_due(&self, now: TimestampTz) -> bool {
        self.not_before <= now
    }

    /// What its work rings.
    pub fn ring(&self, cluster: &str) -> Ring {
        Ring::of(cluster, &self.host, &self.resource_type, &self.operation)
    }
}
