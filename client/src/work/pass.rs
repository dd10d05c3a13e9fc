//! Submitted work that goes on elsewhere.

use super::Work;
use super::finish::ask;
use crate::sql::{self, Passing};
use crate::update::{self, IntoExpr, change_methods};
use crate::{Error, Key, UpdateOutcome, awaitable::awaitable};
use serde::Serialize;

/// A request to pass work on. Made by [`Work::pass`]; `.await` it. It is repeated as [`finish`](Work::finish) is, and
/// the outcomes and errors are the same. [`UpdateOutcome::Updated`]: the work waits for its next service, with the new
/// row, or `null` if nothing was set.
#[derive(Debug)]
#[must_use = "nothing happens before it is awaited"]
pub struct PassWork<'w> {
    work: &'w mut Work,
    to: Passing,
    /// Only its details are used.
    key: Key,
    change: update::Request,
}

impl Work {
    /// Prepares to put submitted work back into a queue, for the next step elsewhere, as another operation: a scheduler
    /// does so for a manager. The row is changed with it, both or neither. The resource's lock and its work slot stay
    /// taken, so no other operation gets in between. If it is refused, the work continues.
    ///
    /// ```no_run
    /// # async fn schedule(mut work: volguard::Work) -> Result<(), volguard::Error> {
    /// let passed = work.pass("create").host("node-3").set("host", "node-3").set("status", "creating").await?;
    /// assert!(passed.is_updated());
    /// # Ok(()) }
    /// ```
    /// *Errors:* [`Error::Database`] with 22023 for work that was not submitted, 42704 for an unknown cluster, 42501
    /// for a cluster that the role may not submit to.
    pub fn pass(&mut self, operation: &str) -> PassWork<'_> {
        let to = Passing { operation: operation.to_owned(), cluster: None, host: None };
        PassWork { work: self, to, key: Key::new("", ""), change: update::Request::default() }
    }
}

impl PassWork<'_> {
    change_methods!(set "The status, if it is set, is the status of the work.");

    /// The cluster of the next service. Default: the same.
    pub fn cluster(mut self, cluster: &str) -> Self {
        self.to.cluster = Some(cluster.to_owned());
        self
    }

    /// The only host that may take it. Default: any of the cluster.
    pub fn host(mut self, host: &str) -> Self {
        self.to.host = Some(host.to_owned());
        self
    }

    /// Details for the next service. Default: those that the work has.
    pub fn details(mut self, details: impl Serialize) -> Self {
        self.key = self.key.details(details);
        self
    }

    async fn send(self) -> Result<UpdateOutcome, Error> {
        let PassWork { work, to, key, change } = self;
        let changes = change.documents()?.changes;
        key.details_json()?;
        let (held, target) = (work.guard.held.clone(), work.target.clone());
        let ending = async move {
            let (volguard, token, details) = (&held.core().volguard, held.token(), key.details_json()?);
            let call = || sql::pass_work(volguard, token, &to, &changes, details, target.as_deref());
            ask(&held, "pass_work", call).await
        };
        work.end(ending).await
    }
}

awaitable!(PassWork<'w> -> Result<UpdateOutcome, Error>);
