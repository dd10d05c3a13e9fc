//! What goes on in the background for what has lost its owner: locks of dropped guards, and requests whose answer was
//! lost. Each is a task that ends when the server has answered, or with the session.

use crate::{Error, backoff::pauses, handle::Wire, queue::Places, sql, state::Core};
use std::{mem, slice, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// What a guard does when it is dropped.
#[derive(Clone, Copy)]
pub(crate) enum OnDrop {
    /// Releases its locks.
    Release,
    /// Gives claimed work back.
    Abandon,
    /// Leaves unfinished work as it is, with a warning.
    Leave,
    /// The server has answered the end of it.
    Nothing,
}

/// How much later than its end the statement of a broken connection may still be under way on the server.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Gives locks back in the background. The places in the queues of this process are given up after that.
pub(crate) fn give_back(core: &Arc<Core>, tokens: Vec<i64>, how: OnDrop, places: Places) {
    let this = Arc::clone(core);
    let task = async move {
        let _places = places;
        let mut told = false;
        for pause in pauses() {
            let Err(error) = release(&this, &tokens, how).await else { return };
            // The server frees the rest with the service.
            if this.lease.check().is_err() {
                return;
            }
            if !error.is_retryable() && !mem::replace(&mut told, true) {
                tracing::error!(service_id = this.service_id, ?tokens, %error, "a release is refused, and is repeated");
            }
            let _ = timeout(pause, this.lease.lost()).await; // Shorter if the session is lost.
        }
    };
    core.tasks.spawn_on(task, &core.runtime);
}

/// Releases locks in one commit, or gives claimed work back. Returns how many were held.
pub(crate) async fn release(core: &Core, tokens: &[i64], how: OnDrop) -> Result<u64, Error> {
    let connection = core.volguard.connection().await?;
    match (how, tokens) {
        (OnDrop::Abandon, _) => connection.run("abandon_cleanup", sql::abandon_cleanup(&connection, tokens)).await,
        (_, [token]) => connection.run("release", sql::release(&connection, *token)).await.map(u64::from),
        _ => connection.run("release_all", sql::release_all(&connection, tokens)).await,
    }
}

/// What a request may have left: its answer was lost, or not waited for.
pub(crate) struct Unsettled {
    pub(crate) request_id: Uuid,
    /// Its places in the queues of this process, kept for the first try; `None` while its locks are held.
    pub(crate) places: Option<Places>,
    /// From then on no statement of it can be under way on the server, but for the one that is `running`: the
    /// connection, and when that is over.
    pub(crate) until: Instant,
    pub(crate) running: Option<(Wire, Instant)>,
}

/// Gives back in the background what a request takes, however late. A later request or a guard with the same id goes
/// first: it gets what this one has taken.
pub(crate) fn settle(core: &Arc<Core>, unsettled: Unsettled) {
    let this = Arc::clone(core);
    let task = async move {
        let Unsettled { request_id, mut places, mut until, running } = unsettled;
        if let Some(places) = &mut places {
            places.request = None;
        }
        if let Some((wire, over)) = running {
            let patience = over.saturating_duration_since(Instant::now());
            if !this.volguard.server().give_up(wire, patience).await {
                until = until.max(over);
            }
        }
        // Kept until a release whose answer was lost can't be under way any more.
        let (mut settling, mut late) = (None, Instant::now());
        for pause in pauses() {
            if let Some(turn) = settling.take().or_else(|| this.requests.try_settle(request_id)) {
                let (over, sent) = (until <= Instant::now(), Instant::now());
                match release_request(&this, request_id).await {
                    Ok(()) if over && late <= Instant::now() => return,
                    Ok(()) => {}
                    Err(error) => {
                        this.heed(&error);
                        if error.leaves_doubt() {
                            late = sent + this.volguard.time_limit() + GRACE;
                        }
                    }
                }
                // It would release what a later request with this id gets.
                settling = (Instant::now() < late).then_some(turn);
            }
            // Others that want the keys need not wait for a server that can't be reached.
            drop(places.take());
            let _ = timeout(pause, this.lease.lost()).await;
            if this.lease.check().is_err() {
                return;
            }
        }
    };
    core.tasks.spawn_on(task, &core.runtime);
}

async fn release_request(core: &Core, id: Uuid) -> Result<(), Error> {
    let connection = core.volguard.connection().await?;
    let call = sql::release_requests(&connection, core.service_id, slice::from_ref(&id));
    let released = connection.run("release_requests", call).await?;
    if released > 0 {
        let service_id = core.service_id;
        tracing::info!(service_id, request_id = %id, released, "gave back what a lost answer had left");
    }
    Ok(())
}
