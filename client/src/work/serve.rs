//! Handlers of submitted work.

use super::Work;
use super::stream::{Taker, WorkStream, slots};
use crate::{Error, Loss, Session, awaitable::awaitable};
use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes submitted work and has it done, each operation by its handler. Made by [`Session::serve`]; `.await` it.
#[must_use = "nothing happens before it is awaited"]
pub struct Serve {
    session: Session,
    resource_type: Option<String>,
    concurrency: usize,
    handlers: BTreeMap<String, Arc<dyn Fn(Work) -> Boxed + Send + Sync>>,
    until: Boxed,
}

impl Session {
    /// Prepares to take the work of this session's cluster, as [`work`](Self::work) does, and to have it done by
    /// handlers.
    ///
    /// ```no_run
    /// # async fn run(session: volguard::Session) -> Result<(), volguard::Error> {
    /// use volguard::Work;
    ///
    /// async fn delete(mut work: Work) {
    ///     // ... delete the volume, with `work.token()` as its fence ...
    ///     if let Err(error) = work.finish().set("status", "deleted").await {
    ///         eprintln!("{}: {error}", work.resource_id());
    ///     }
    /// }
    ///
    /// let stop = async { tokio::signal::ctrl_c().await.expect("a signal handler") };
    /// session.serve().on("delete", delete).concurrency(4).until(stop).await?;
    /// session.stop().await?;
    /// # Ok(()) }
    /// ```
    pub fn serve(&self) -> Serve {
        let (resource_type, handlers) = Default::default();
        Serve { session: self.clone(), resource_type, concurrency: 1, handlers, until: Box::pin(pending()) }
    }
}

impl Serve {
    /// The handler of an operation: 1 to 16 of them. Each piece of work is a task of its own.
    ///
    /// The handler has to [finish](Work::finish), [release](Work::release) or pass on its work. If it panics, or
    /// returns without that, the guard is dropped: the work stays locked until the session ends. A handler is dropped
    /// at its next await when the session is lost, by the clock as in [`Held::run`](crate::Held::run).
    pub fn on<F>(mut self, operation: &str, handler: impl Fn(Work) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.handlers.insert(operation.to_owned(), Arc::new(move |work| Box::pin(handler(work))));
        self
    }

    /// Only work on resources of this type.
    pub fn resource_type(self, resource_type: &str) -> Self {
        Self { resource_type: Some(resource_type.to_owned()), ..self }
    }

    /// How many pieces of work are done at a time. Default: 1.
    pub fn concurrency(self, pieces: usize) -> Self {
        Self { concurrency: pieces, ..self }
    }

    /// When to stop: no work is taken any more, and the handlers are awaited. Default: never.
    pub fn until(self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { until: Box::pin(stop), ..self }
    }

    /// Returns when told to stop, or when the session was stopped.
    async fn send(self) -> Result<(), Error> {
        let Serve { session, resource_type, concurrency, handlers, mut until } = self;
        let operations = Some(handlers.keys().cloned().collect());
        let taker = Taker { session: session.clone(), operations, resource_type, slots: slots(concurrency) };
        let (mut stream, mut running) = (WorkStream::new(taker), JoinSet::new());
        let ended = loop {
            tokio::select! {
                () = &mut until => break Ok(()),
                next = stream.next() => match next {
                    Ok(Some(work)) => {
                        let (session, handler) = (session.clone(), Arc::clone(&handlers[work.operation()]));
                        running.spawn(async move { session.run(handler(work)).await });
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
                Some(ended) = running.join_next() => tell(ended),
            }
        };
        // What it has taken meanwhile goes back into the queue.
        drop(stream);
        while let Some(ended) = running.join_next().await {
            tell(ended);
        }
        ended
    }
}

awaitable!(Serve -> Result<(), Error>);

fn tell(ended: Result<Result<(), Loss>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(loss)) => tracing::warn!(%loss, "a handler was dropped in the middle of its work"),
        Err(error) => tracing::error!(%error, "a handler panicked"),
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<_> = self.handlers.keys().collect();
        f.debug_struct("Serve").field("operations", &operations).finish_non_exhaustive()
    }
}
