//! Which work a claim is about. What of it is work of crashed services in the claimer's cluster is not said here.

use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::spi::{Arg, Rows, arg};
use crate::store::sql;

/// All of these must hold, each NULL for all. `host`, `binary_name` and `crashed_service_id` are of the dead service
/// that has the work: of one that had claimed it before it died in turn.
pub struct ClaimFilter {
    pub resource_type: Arg,
    pub resource_id: Arg,
    pub host: Arg,
    pub binary_name: Arg,
    pub crashed_service_id: Option<i64>,
    /// Acquired by then.
    pub until: Arg,
}

impl ClaimFilter {
    /// The services that can have work of the filter; `None` if that is not known without looking at what each has.
    /// Those that have work on one resource are found by its key: a service may have any number of rows.
    pub fn services(&self) -> Result<Option<Vec<i64>>, Error> {
        let named = self.crashed_service_id;
        if self.resource_id.is_none() {
            return Ok(named.map(|service_id| vec![service_id]));
        }
        let with_work = || sql::SERVICES_WITH_WORK_ON.run(&[self.resource_id, self.resource_type], Rows::numbers);
        let mut services = lookup_locks::given_back(with_work)?;
        services.retain(|service_id| named.is_none_or(|named| named == *service_id));
        Ok(Some(services))
    }

    /// The parameters of [`sql::CRASHED_SERVICES`] after those of the claimer.
    pub fn of_services(&self) -> Result<[Arg; 5], Error> {
        let services = self.services()?.and_then(arg);
        Ok([self.resource_type, self.until, self.host, self.binary_name, services])
    }
}
