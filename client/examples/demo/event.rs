//! What a manager tells the audience, as one line of JSON each on its standard output.

use std::fmt;
use std::io::Write;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::operation::Operation;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// It has become a service, and works.
    Registered { service_id: i64 },
    /// It is inside a volume's files from now on.
    Entered {
        request: i64,
        operation: Operation,
        volume: Uuid,
        token: i64,
    },
    /// A request has come to its end.
    Closed {
        request: i64,
        operation: Operation,
        volume: String,
        done: bool,
        took_ms: u64,
    },
    /// It tried something under a lock that it does not hold any more, and was stopped.
    Refused { door: Door, attempt: Attempt },
    /// It tried so and was let through, which must not happen.
    Admitted { door: Door, attempt: Attempt },
    /// It has cleaned up after a dead service.
    Cleaned {
        host: String,
        locks: u64,
        resources: u64,
        stale: u64,
    },
    /// Its session is lost; it will register anew.
    Lost { reason: String },
    /// Something that should not happen.
    Trouble { message: String },
}

/// What was tried with a lock that is lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    pub service_id: i64,
    pub volume: Uuid,
    pub token: i64,
}

/// Where a manager whose lock is lost can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Door {
    /// The storage has seen a larger token.
    Storage,
    /// Its own client, by its own clock.
    Session,
    Heartbeat,
    Acquire,
    SetStatus,
    AssertHeld,
    ConditionalUpdate,
    Release,
}

impl Event {
    /// A failure to write is the audience's end, and with it the manager's.
    pub fn tell(&self) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        out.write_all(&line).context("nobody listens")?;
        out.flush().context("nobody listens")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Registered { service_id } => write!(f, "is service {service_id}"),
            Event::Entered {
                request, operation, ..
            } => write!(f, "request {request}: {operation} begins"),
            Event::Closed {
                request,
                operation,
                volume,
                done,
                took_ms,
            } => {
                write!(f, "request {request}: {operation} {volume}")?;
                match done {
                    true => write!(f, " done in {took_ms} ms"),
                    false => f.write_str(", cut off by a crash, is rolled back"),
                }
            }
            Event::Refused { door, attempt } => {
                let token = attempt.token;
                write!(f, "goes on with token {token} and is refused: {door}")
            }
            Event::Admitted { door, attempt } => {
                let token = attempt.token;
                write!(f, "goes on with token {token} and is LET THROUGH: {door}")
            }
            Event::Cleaned {
                host,
                locks,
                resources,
                stale,
            } => write!(
                f,
                "cleans up after {host}: {locks} plain locks dropped, {resources} resources by crash rule, {stale} stale"
            ),
            Event::Lost { reason } => write!(f, "is lost ({reason}) and registers anew"),
            Event::Trouble { message } => f.write_str(message),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Door::Storage => "a write to the storage",
            Door::Session => "the client, by its own clock",
            Door::Heartbeat => "heartbeat",
            Door::Acquire => "acquire",
            Door::SetStatus => "set_status",
            Door::AssertHeld => "assert_held",
            Door::ConditionalUpdate => "conditional_update(fence)",
            Door::Release => "release",
        })
    }
}
