//! Which dead services, and which of their rows, a call is about.

use crate::input::argument;
use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::spi::{Arg, Rows, arg};
use crate::store::{spelling, sql};
use std::borrow::Cow;

/// A filter by a name; NULL for all.
pub fn by_name(argument: &'static str, name: Option<&str>) -> Result<Arg, Error> {
    Ok(name.map(|name| argument::name(argument, Some(name))).transpose()?.and_then(arg))
}

/// A filter by a resource, NULL for all, as ids of the type are spelled. Without a type the id is compared as it is
/// passed.
pub fn by_resource_id(resource_type: Option<&str>, resource_id: Option<&str>) -> Result<Arg, Error> {
    let Some(id) = resource_id else {
        return Ok(None);
    };
    let id = argument::resource_id(Some(id))?;
    let id = match resource_type {
        Some(resource_type) => spelling::spell(resource_type, id, "resource_id")?,
        None => Cow::Borrowed(id),
    };
    Ok(arg(id.as_ref()))
}

/// Of all dead services those that match each filter that is given.
#[derive(Default)]
pub struct Selection {
    pub service_id: Arg,
    pub cluster: Arg,
    pub host: Arg,
    pub binary_name: Arg,
    pub disabled: Arg,
    pub rows: RowFilter,
    /// A periodic call: it leaves to others what they are cleaning up, and tries work again only when that is due.
    pub unattended: bool,
}

/// Only these rows: resource_type, resource_id, until; NULL for all.
pub type RowFilter = [Arg; 3];

/// A service to clean up after.
#[derive(Debug)]
pub struct DeadService {
    pub service_id: i64,
    pub cluster: String,
    pub host: String,
    /// It is not fenced yet.
    pub late: bool,
    pub has_plain_locks: bool,
    pub has_work: bool,
}

impl Selection {
    /// The services that there is something to do for.
    pub fn dead_services(&self) -> Result<Vec<DeadService>, Error> {
        let Selection { service_id, cluster, host, binary_name, disabled, rows, unattended } = *self;
        let [resource_type, resource_id, until] = rows;
        let unattended = arg(unattended);
        let filters = [service_id, cluster, host, binary_name, disabled, resource_type, resource_id, until, unattended];
        lookup_locks::given_back(|| {
            sql::DEAD_SERVICES.run(&filters, |rows| rows.each(|row| DeadService::read(rows, row)))
        })
    }

    /// The parameters of a statement about rows of these services.
    pub fn scope(&self, services: Vec<i64>) -> [Arg; 4] {
        let [resource_type, resource_id, until] = self.rows;
        [arg(services), resource_type, resource_id, until]
    }
}

impl DeadService {
    fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(DeadService {
            service_id: rows.get(row, 0)?,
            cluster: rows.get(row, 1)?,
            host: rows.get(row, 2)?,
            late: rows.get(row, 3)?,
            has_plain_locks: rows.get(row, 4)?,
            has_work: rows.get(row, 5)?,
        })
    }
}
