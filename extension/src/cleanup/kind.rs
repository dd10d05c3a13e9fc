//! The work of dead services, one kind at a time: one status of one type of resource.

use crate::pg::error::Error;
use crate::pg::spi::{Arg, Rows, arg};
use crate::sabotage::{self, Guard};
use crate::store::{removal, sql};

/// Which rows of `workers` a cleanup is about, as parameters: the ids of dead services; then resource_type, resource_id
/// and the latest acquired_at, each NULL for all.
pub type Scope = [Arg; 4];

/// One status of one type of resource. What belongs to one kind is repaired by one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkKind {
    pub resource_type: String,
    pub status: String,
}

/// A row of `workers` with a status, left by a dead service.
#[derive(Debug)]
pub struct WorkItem {
    pub token: i64,
    pub service_id: i64,
    pub resource_id: String,
}

impl WorkItem {
    /// Reads the columns of a removal.
    fn read(rows: &Rows) -> Vec<Self> {
        rows.each(|row| {
            Some(WorkItem { token: rows.get(row, 5)?, service_id: rows.get(row, 6)?, resource_id: rows.get(row, 2)? })
        })
    }
}

impl WorkKind {
    /// The kinds of work in the scope, in order.
    pub fn all_in(scope: &Scope) -> Result<Vec<Self>, Error> {
        sql::CRASHED_KINDS.run(scope, |rows| {
            let kind = |row| Some((rows.get::<&str>(row, 0)?, rows.get::<&str>(row, 1)?));
            let mut kinds = rows.each(kind);
            kinds.sort_unstable();
            kinds.dedup();
            let owned = |(resource_type, status): (&str, &str)| WorkKind {
                resource_type: resource_type.to_owned(),
                status: status.to_owned(),
            };
            kinds.into_iter().map(owned).collect()
        })
    }

    /// The items of this kind in the scope, by their tokens.
    pub fn see(&self, scope: &Scope) -> Result<Vec<WorkItem>, Error> {
        sql::CRASHED_WORK.run(&self.within(scope), WorkItem::read)
    }

    /// Removes all items of this kind in the scope.
    pub fn remove_all(&self, scope: &Scope) -> Result<Vec<WorkItem>, Error> {
        if sabotage::removed(Guard::Taken) {
            let seen = self.see(scope)?;
            sql::REMOVE_CRASHED_KIND.count(&self.within(scope))?;
            return Ok(seen);
        }
        let parameters = self.within(scope);
        removal::remove_reading(&sql::REMOVE_CRASHED_KIND, &parameters, WorkItem::read)
    }

    /// Removes those of the items that are still there.
    pub fn remove(&self, items: &[WorkItem]) -> Result<Vec<WorkItem>, Error> {
        let tokens: Vec<i64> = items.iter().map(|item| item.token).collect();
        let parameters = [arg(tokens), arg(self.status.as_str())];
        removal::remove_reading(&sql::REMOVE_CRASHED_WORK, &parameters, WorkItem::read)
    }

    fn within(&self, &[services, resource_type, resource_id, until]: &Scope) -> [Arg; 6] {
        let (own_type, status) = (arg(&*self.resource_type), arg(&*self.status));
        [services, resource_type, resource_id, until, own_type, status]
    }
}
