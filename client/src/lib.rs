#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquire;
mod awaitable;
mod backoff;
mod claim;
mod error;
mod flight;
mod granted;
mod handle;
mod janitor;
mod json;
mod key;
mod lock;
mod loss;
mod outcome;
mod queue;
mod reaper;
mod retry;
mod session;
pub mod sql;
mod state;
mod submit;
mod telemetry;
pub mod update;
mod work;

// Their types stand in signatures of this crate.
pub use tokio_util::sync::CancellationToken;
pub use {serde_json, tokio_postgres, uuid};

pub use acquire::Acquire;
pub use claim::{Claimed, Claims};
pub use error::Error;
pub use granted::WorkOutcome;
pub use handle::{Builder, Connection, StatementMode, Volguard};
pub use key::{IntoKeys, Key};
pub use lock::{Held, Lock};
pub use loss::Loss;
pub use outcome::{UpdateOutcome, UpdatedRow};
pub use session::{Incarnations, Registration, Session};
pub use sql::{CleanedService, Cleanup};
pub use submit::{Cancel, Submit, Submitted};
pub use update::ConditionalUpdate;
pub use work::{FinishWork, PassWork, Serve, StartWork, Work, WorkStream};
