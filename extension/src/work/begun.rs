//! The result of a call that begins work, and its form in SQL: `volguard.work_result`.

use super::change::Change;
use crate::conditional_update::{Outcome, no_names};
use crate::lock::attempts::Got;
use crate::pg::error::Error;
use crate::pg::export::composite;
use crate::pg::spi::arg;
use pgrx::pg_sys::{Datum, FunctionCallInfo};

pub enum Begun {
    /// With the token, and the row as updated, or as it is now if an earlier call of the request has updated it.
    Updated(i64, Option<Outcome>),
    Refused(Outcome),
    Locked,
}

impl Begun {
    pub fn of(got: Got, change: Change) -> Result<Self, Error> {
        Ok(match got {
            Got::Tokens(tokens) => Begun::Updated(tokens[0], change.outcome),
            Got::HeldByRequest(tokens) => Begun::Updated(tokens[0], change.present()?),
            Got::NotFree => Begun::Locked,
            Got::Declined => change.outcome.map_or(Begun::Locked, Begun::Refused),
        })
    }

    /// The tuple `(token, outcome, row, unmet)`.
    ///
    /// # Safety
    /// `fcinfo` is that of a running function that is declared to return `volguard.work_result`.
    pub unsafe fn into_tuple(self, fcinfo: FunctionCallInfo) -> Datum {
        let (token, [outcome, row, unmet]) = match self {
            Begun::Updated(token, Some(outcome)) => (arg(token), outcome.fields()),
            // An earlier call of the request has begun the work, and the row is gone or hidden by now.
            Begun::Updated(token, None) => (arg(token), [arg("updated"), None, no_names()]),
            Begun::Refused(outcome) => (None, outcome.fields()),
            Begun::Locked => (None, [arg("locked"), None, no_names()]),
        };
        // SAFETY: the caller's promise.
        unsafe { composite(fcinfo, [token, outcome, row, unmet]) }
    }
}
