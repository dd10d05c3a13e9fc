//! The request id of submitted work: a call that repeats it gets the number of the work, also after its end.

use crate::pg::error::Error;
use crate::pg::lookup_locks;
use crate::pg::spi::arg;
use crate::sabotage::{self, Guard};
use crate::store::sql;
use crate::wait::RequestTurn;
use pgrx::datum::Uuid;
use std::ffi::CStr;

/// A submission under a request id. While it lives, no other call of the role submits under the same one.
pub struct SubmitRequest<'r> {
    role: &'r CStr,
    id: Uuid,
    turn: RequestTurn,
}

impl<'r> SubmitRequest<'r> {
    /// Waits for a call with this request id whose transaction has not ended: only then is it known what it did.
    pub fn begin(role: &'r CStr, id: Uuid) -> Result<Self, Error> {
        Ok(SubmitRequest { role, id, turn: RequestTurn::of_role(&role.to_string_lossy(), id)? })
    }

    /// The work that an earlier call has submitted. An error if that was on another resource.
    pub fn work_on(&self, resource_type: &str, resource_id: &str) -> Result<Option<i64>, Error> {
        if sabotage::removed(Guard::RequestId) {
            return Ok(None);
        }
        let earlier = lookup_locks::given_back(|| {
            sql::SUBMITTED.run(&[arg(self.id), arg(self.role)], |rows| {
                Some((rows.get::<i64>(0, 0)?, rows.get::<String>(0, 1)?, rows.get::<String>(0, 2)?))
            })
        })?;
        match earlier {
            None => Ok(None),
            Some((work_id, of_type, id)) if (&*of_type, &*id) == (resource_type, resource_id) => Ok(Some(work_id)),
            Some((_, of_type, id)) => Err(Error::invalid(
                "request_id",
                format!("has been used before, for work on {of_type} {id}"),
                "A request id belongs to one piece of work. Pass a new one for other work.",
            )),
        }
    }

    /// Lets the next call go on before the transaction ends. Only if this one has submitted nothing.
    pub fn end(self) {
        self.turn.end();
    }
}
