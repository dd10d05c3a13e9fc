//! Releases in the background, of the locks of dropped guards. Each is a task that ends when the server has answered,
//! or with the session.

use crate::{Error, backoff::pauses, queue::Places, sql, state::Core};
use std::{mem, sync::Arc};
use tokio::time::timeout;

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
    match (how, tokens) {
        (OnDrop::Abandon, _) => sql::abandon_cleanup(&core.volguard, tokens).await,
        (_, [token]) => sql::release(&core.volguard, *token).await.map(u64::from),
        _ => sql::release_all(&core.volguard, tokens).await,
    }
}
