//! One call of a client, from the question to the answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A new service.
    Register {
        /// Its host.
        host: String,
    },
    /// A lock. A request for several locks is one of these for each.
    Acquire {
        /// The resource.
        key: String,
        /// The id of the request, the same for all its locks.
        request: Uuid,
        /// The service that the lock is for.
        service: i64,
    },
    /// A write to the resource, fenced by a token.
    Write {
        /// The resource.
        key: String,
        /// The token.
        token: i64,
        /// The value that the row shows after this write.
        write: Uuid,
    },
    /// The release of a lock.
    Release {
        /// The resource.
        key: String,
        /// Its token.
        token: i64,
    },
    /// Work on a resource, for whichever service is free.
    Submit {
        /// The resource.
        key: String,
        /// The id of the request, which may be repeated.
        request: Uuid,
    },
    /// Work that waits, or that a crashed service has left.
    Take {
        /// The service that takes it.
        service: i64,
    },
    /// The end of work that a service has.
    Finish {
        /// Its token.
        token: i64,
        /// How it ends.
        how: Finish,
    },
    /// The end of work that waits.
    Cancel {
        /// Its number.
        work: i64,
    },
    /// The next step of work, for another service.
    Pass {
        /// Its token.
        token: i64,
    },
    /// Some or all of what a service has goes back to where it came from.
    GiveBack {
        /// The service.
        service: i64,
    },
}

/// How a piece of work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// As it should.
    Done,
    /// Its service could not do it.
    Refused,
    /// Its service crashed, and the change of the status was undone.
    RolledBack,
    /// It waited until it was not wanted any more.
    Cancelled,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The service was registered, with this id.
    Service(i64),
    /// The lock was taken.
    Token(i64),
    /// The lock was not free in time.
    NotFree,
    /// The work was submitted, under this number.
    Submitted(i64),
    /// Written; of work: ended, or passed on.
    Written,
    /// Not written, because the token isn't held or for another reason.
    Refused,
    /// Released.
    Released,
    /// The token held nothing.
    NotHeld,
    /// No answer: the connection broke, or the client hung up or was
    /// killed. The call may have an effect, now or later, or none.
    Nothing,
}

/// One call. Times are nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
#[derive(Debug, Clone)]
pub struct Call {
    /// The process that called.
    pub client: String,
    /// The question.
    pub act: Act,
    /// The time before the question was sent.
    pub asked: u64,
    /// The time after the answer had come; `None` if none came.
    pub answered: Option<u64>,
    /// The answer.
    pub answer: Answer,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, act, .. } = self;
        write!(f, "{client} asked at {} ns: {act:?}", self.asked)?;
        match self.answered {
            Some(at) => write!(f, "; answered at {at} ns: {:?}", self.answer),
            None => write!(f, "; not answered"),
        }
    }
}
