//! One call of a client, from question to answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A lock. A request for several is as many of these.
    Acquire {
        /// Of which resource.
        key: String,
        /// The request's id, the same for all that it asks for.
        request: Uuid,
        /// On behalf of which service.
        service: i64,
    },
    /// A write to the resource, fenced by a token.
    Write {
        /// Which resource.
        key: String,
        /// The token.
        token: i64,
        /// What the row will show of this write.
        write: Uuid,
    },
    /// To give a lock back.
    Release {
        /// Of which resource.
        key: String,
        /// Its token.
        token: i64,
    },
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The lock is yours.
    Token(i64),
    /// Not free in time.
    NotFree,
    /// Written.
    Written,
    /// Not written, because the token isn't held or for another reason; in any case not written.
    Refused,
    /// Released.
    Released,
    /// The token held nothing.
    NotHeld,
    /// Nothing: the connection broke, the client hung up or was killed. It may have taken effect or not, or may yet.
    Nothing,
}

/// One call. Times are nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which process called.
    pub client: String,
    /// What it asked for.
    pub act: Act,
    /// Before the question was sent.
    pub asked: u64,
    /// After the answer had come; `None` if none came.
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
