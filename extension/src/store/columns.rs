//! The numbers of the columns of `workers`.

use super::tables::column;
use crate::pg::error::Error;
use pgrx::pg_sys::{INT4OID, INT8OID, JSONBOID, NAMEOID, Oid, TEXTOID, TIMESTAMPTZOID, UUIDOID};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Columns {
    /// resource_id, resource_type, lock_name
    pub key: [i16; 3],
    pub cluster: i16,
    pub token: i16,
    pub service_id: i16,
    pub status: i16,
    pub request_id: i16,
    pub acquired_at: i16,
    pub updated_at: i16,
    pub details: i16,
    pub crashed_service_id: i16,
    pub retry_at: i16,
    pub work_id: i16,
    pub operation: i16,
    pub host: i16,
    pub priority: i16,
    pub not_before: i16,
    pub attempt: i16,
    pub retried_from: i16,
    pub submitted_by: i16,
    pub submit_request: i16,
}

impl Columns {
    /// Those of the queue's index, which has the priority with the other sign.
    pub fn queue(&self) -> [i16; 7] {
        const EXPRESSION: i16 = 0;
        let [_, resource_type, _] = self.key;
        [self.cluster, self.host, self.operation, resource_type, EXPRESSION, self.not_before, self.work_id]
    }

    pub fn of(workers: Oid) -> Result<Self, Error> {
        let of_workers = |name, type_oid| column(workers, name, type_oid);
        Ok(Columns {
            key: [
                of_workers(c"resource_id", TEXTOID)?,
                of_workers(c"resource_type", TEXTOID)?,
                of_workers(c"lock_name", TEXTOID)?,
            ],
            cluster: of_workers(c"cluster", TEXTOID)?,
            token: of_workers(c"token", INT8OID)?,
            service_id: of_workers(c"service_id", INT8OID)?,
            status: of_workers(c"status", TEXTOID)?,
            request_id: of_workers(c"request_id", UUIDOID)?,
            acquired_at: of_workers(c"acquired_at", TIMESTAMPTZOID)?,
            updated_at: of_workers(c"updated_at", TIMESTAMPTZOID)?,
            details: of_workers(c"details", JSONBOID)?,
            crashed_service_id: of_workers(c"crashed_service_id", INT8OID)?,
            retry_at: of_workers(c"retry_at", TIMESTAMPTZOID)?,
            work_id: of_workers(c"work_id", INT8OID)?,
            operation: of_workers(c"operation", TEXTOID)?,
            host: of_workers(c"host", TEXTOID)?,
            priority: of_workers(c"priority", INT4OID)?,
            not_before: of_workers(c"not_before", TIMESTAMPTZOID)?,
            attempt: of_workers(c"attempt", INT4OID)?,
            retried_from: of_workers(c"retried_from", INT8OID)?,
            submitted_by: of_workers(c"submitted_by", NAMEOID)?,
            submit_request: of_workers(c"submit_request", UUIDOID)?,
        })
    }
}
