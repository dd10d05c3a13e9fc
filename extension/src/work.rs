//! `start_work`, `submit_work` and `finish_work`: a lock and the status of its resource, which change together or not
//! at all.
//!
//! [`start`] takes the lock and then updates the row of the resource, [`finish`] releases the lock and then updates the
//! row. So the user's row comes last in the order of locks: wait queue, service lock, rows of `workers`, rows of the
//! user's tables. [`tracked`] is the row of a resource.
//!
//! The work of [`submit`] is a row of `workers` that no service has: [`next`] hands it to one ([`taker`] looks for it),
//! [`cancel`] takes it out of the queue, and [`pass`] puts it into another one.

mod asked;
mod begun;
mod cancel;
mod change;
mod finish;
mod lane;
mod lookout;
mod next;
mod pass;
mod start;
mod submit;
mod submit_request;
mod superuser;
mod taker;
mod tracked;
