//! Work for whichever service of a cluster is free: submitting it, and taking it back.

use crate::retry::until_answered;
use crate::sql::{self, Documents, Due, Submission};
use crate::update::{self, Filter, IntoCondition, IntoExpr, change_methods};
use crate::{Error, Key, UpdateOutcome, UpdatedRow, Volguard, WorkOutcome, awaitable::awaitable};
use serde::Serialize;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tokio_postgres::Transaction;
use uuid::Uuid;

/// Work that waits for a service, or has done so. Made by [`Volguard::submit`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Submitted {
    /// The number of the work, for good: see [`Work::work_id`](crate::Work::work_id) and [`Volguard::cancel`].
    pub work_id: i64,
    /// The row as it was changed. After a repeated request, the row at that time, or `null` if it was gone.
    pub row: UpdatedRow,
}

/// A request to submit work. Made by [`Volguard::submit`]; `.await` it.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Submit {
    volguard: Volguard,
    cluster: String,
    key: Key,
    change: update::Request,
    target: Option<String>,
    how: Submission,
}

impl Volguard {
    /// Prepares to submit work on a tracked resource to a cluster: to change its row, and to queue the work for
    /// whichever service of the cluster [takes](crate::Session::work) it, both or neither, in one commit. It needs no
    /// session.
    ///
    /// From then on the resource's lock and its work slot are taken. The new status of the row becomes the status of
    /// the work. If a service crashes in the middle of it, cleanup applies the crash rule of the status that it had by
    /// then.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard) -> Result<(), volguard::Error> {
    /// use volguard::WorkOutcome;
    ///
    /// let delete = volguard.submit("backends", "volume", "v-17").operation("delete");
    /// match delete.expect("status", "available").set("status", "deleting").await? {
    ///     WorkOutcome::Started(work) => println!("accepted as work {}", work.work_id),
    ///     WorkOutcome::Unmet(columns) => println!("not with this {}", columns.join(", ")),
    ///     other => println!("refused: {other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// If the connection breaks or the server doesn't answer, the request is repeated under the same id for
    /// [`Builder::time_limit`](crate::Builder::time_limit), and once at least: the work is submitted once.
    ///
    /// # Cancel safety
    /// When the future is dropped, the work may have been submitted or not. Await a clone of the request, or one with
    /// the same [`request_id`](Submit::request_id), to know.
    ///
    /// # Errors
    /// Those of [`ConditionalUpdate`](crate::ConditionalUpdate); [`Error::Database`] with 42704 for an unknown cluster
    /// or a type not tracked, 42501 for a role that may not submit to the cluster or change the status, 22023 for a row
    /// without status, a priority that is not from -100 to 100, or a request id of other work.
    pub fn submit(&self, cluster: &str, resource_type: &str, resource_id: &str) -> Submit {
        // The request is complete, with its id, from the beginning: a clone of it is the same request.
        let how = Submission { request_id: Some(Uuid::new_v4()), ..Submission::default() };
        let (volguard, cluster, change) = (self.clone(), cluster.to_owned(), update::Request::default());
        Submit { volguard, cluster, key: Key::new(resource_type, resource_id), change, target: None, how }
    }

    /// Prepares to take submitted work out of the queue while it waits: for its submitter, the cluster's owner and
    /// operators.
    ///
    /// ```no_run
    /// # async fn run(volguard: volguard::Volguard, work_id: i64) -> Result<(), volguard::Error> {
    /// let cancelled = volguard.cancel(work_id).set("status", "available").await?.is_updated();
    /// # Ok(()) }
    /// ```
    pub fn cancel(&self, work_id: i64) -> Cancel {
        Cancel { volguard: self.clone(), work_id, change: update::Request::default(), target: None }
    }
}

impl Submit {
    change_methods!(conditions);
    change_methods!(set "The new row must have a status in its status column: set it to what is going to be done.");

    /// What is to be done, for services that take certain operations only. Default: none.
    pub fn operation(mut self, operation: &str) -> Self {
        self.how.operation = Some(operation.to_owned());
        self
    }

    /// The only host that may take the work. Default: any of the cluster. A host that doesn't exist is waited for.
    pub fn host(mut self, host: &str) -> Self {
        self.how.host = Some(host.to_owned());
        self
    }

    /// Details for the service that takes the work: [`Work::details`](crate::Work::details).
    pub fn details(self, details: impl Serialize) -> Self {
        Self { key: self.key.details(details), ..self }
    }

    /// Work of a larger priority goes first. From -100 to 100. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.how.priority = priority;
        self
    }

    /// The work may be taken so long after it is submitted. Default: at once.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.how.due = Some(Due::After(delay));
        self
    }

    /// The work may be taken at this moment of the *database's* clock. Default: at once.
    pub fn not_before(mut self, moment: SystemTime) -> Self {
        self.how.due = Some(Due::At(moment));
        self
    }

    /// The name of the lock. Default: empty. Whatever the name, a resource has one piece of work at most.
    pub fn lock_name(self, name: &str) -> Self {
        Self { key: self.key.lock_name(name), ..self }
    }

    /// The table that the resource must be in, a name as in SQL. The request is refused (22023) if the type is tracked
    /// in another one. Default: whichever table the type is tracked in. A superuser must name a table whose owner is
    /// none.
    pub fn target(self, table: &str) -> Self {
        Self { target: Some(table.to_owned()), ..self }
    }

    /// Identifies this request: a second one of the same role returns the work that the first one submitted, also after
    /// its end, for `volguard.request_retention`. Default: a new id. Pass one to repeat a request in another process.
    pub fn request_id(mut self, id: Uuid) -> Self {
        self.how.request_id = Some(id);
        self
    }

    /// Submits it inside a transaction of the caller, which inserts the row of the resource, for instance; without a
    /// time limit and without a repetition. An error of the server aborts the transaction. When the future is dropped,
    /// roll back.
    pub async fn within(self, transaction: &Transaction<'_>) -> Result<WorkOutcome<Submitted>, Error> {
        let documents = Documents { target: self.target, ..self.change.documents()? };
        let outcome = sql::submit_work(transaction, &self.cluster, &self.key, &documents, &self.how).await?;
        Ok(outcome.map(|(work_id, row)| Submitted { work_id, row }))
    }

    async fn send(self) -> Result<WorkOutcome<Submitted>, Error> {
        let documents = Documents { target: self.target, ..self.change.documents()? };
        let (volguard, cluster, key, how) = (&self.volguard, &*self.cluster, &self.key, &self.how);
        let call = || sql::submit_work(volguard, cluster, key, &documents, how);
        let (answer, _) = until_answered("submit_work", Some(deadline(volguard)), call).await;
        Ok(answer?.map(|(work_id, row)| Submitted { work_id, row }))
    }
}

awaitable!(Submit -> Result<WorkOutcome<Submitted>, Error>);

/// A request to cancel submitted work. Made by [`Volguard::cancel`]; `.await` it. It is repeated as
/// [`submit`](Volguard::submit) is.
///
/// [`UpdateOutcome::Updated`]: the work is cancelled, with the new row, or `null` if nothing was set.
/// [`UpdateOutcome::Fenced`]: it does not wait, because a service has taken it or it has ended, and nothing was
/// written. [`UpdateOutcome::NotFound`]: its row is gone, and it waits still: cancel it without a change.
/// *Errors:* [`Error::Database`] with 42501 for a role that may not cancel it, and for values that the server refuses:
/// the work waits still. The error of the connection, if it broke and the work does not wait when the request is
/// repeated: the first request cancelled it, or a service has taken it. Read the row.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is awaited"]
pub struct Cancel {
    volguard: Volguard,
    work_id: i64,
    change: update::Request,
    target: Option<String>,
}

impl Cancel {
    change_methods!(set "Set the status to what it was before, for instance. If nothing is set, only the work goes.");

    /// The table that the resource must be in, as [`Submit::target`].
    pub fn target(self, table: &str) -> Self {
        Self { target: Some(table.to_owned()), ..self }
    }

    async fn send(self) -> Result<UpdateOutcome, Error> {
        let is_change = !self.change.changes.is_empty();
        let changes = self.change.documents()?.changes;
        let (volguard, changes, target) = (&self.volguard, is_change.then_some(&*changes), self.target.as_deref());
        let call = || sql::cancel_work(volguard, self.work_id, changes, target);
        match until_answered("cancel_work", Some(deadline(volguard)), call).await {
            (Ok(UpdateOutcome::Fenced), Some(doubt)) => Err(doubt),
            (answer, _) => answer,
        }
    }
}

awaitable!(Cancel -> Result<UpdateOutcome, Error>);

fn deadline(volguard: &Volguard) -> Instant {
    Instant::now() + volguard.server.time_limit
}
