//! What goes on in the background for what has lost its owner: locks of dropped guards, and requests whose answer was
//! lost. Each is a task that ends when the server has answered, or with the session.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::backoff::pauses;
use crate::error::Error;
use crate::handle::Wire;
use crate::queue::Places;
use crate::sql;
use crate::state::{Core, Unsettled};

/// What a guard does when it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    let task = released(Arc::clone(core), tokens, how, places);
    core.tasks.spawn_on(task, &core.runtime);
}

async fn released(core: Arc<Core>, tokens: Vec<i64>, how: OnDrop, _places: Places) {
    let service_id = core.service_id;
    let mut refused = false;
    for pause in pauses() {
        let answer = match how {
            OnDrop::Abandon => abandon(&core, &tokens).await,
            _ => release(&core, &tokens).await,
        };
        let Err(error) = answer else { return };
        // The server frees the rest with the service.
        if core.lease.check().is_err() {
            return;
        }
        if !error.is_retryable() && !refused {
            tracing::error!(service_id, ?tokens, %error, "the server refuses a release, which is repeated");
            refused = true;
        }
        tracing::debug!(service_id, ?tokens, %error, "a release is repeated");
        tokio::select! {
            () = sleep(pause) => {}
            _ = core.lease.lost() => {}
        }
    }
}

/// Releases these locks in one commit. Returns how many were held.
pub(crate) async fn release(core: &Core, tokens: &[i64]) -> Result<u64, Error> {
    let connection = core.volguard.connection().await?;
    let released = match tokens {
        [token] => connection.run("release", sql::release(&connection, *token)).await.map(u64::from)?,
        tokens => connection.run("release_all", sql::release_all(&connection, tokens)).await?,
    };
    core.forget(tokens);
    Ok(released)
}

/// Gives claimed work back. Returns how much of it was held.
pub(crate) async fn abandon(core: &Core, tokens: &[i64]) -> Result<u64, Error> {
    let connection = core.volguard.connection().await?;
    let held = connection.run("abandon_cleanup", sql::abandon_cleanup(&connection, tokens)).await?;
    core.forget(tokens);
    Ok(held)
}

/// Settles in the background what a request may have left. `running` is the connection on which its statement still
/// runs, and when that is certainly over. `kept` is held until the outcome is known, if it can be.
pub(crate) fn settle<T: Send + 'static>(
    core: &Arc<Core>,
    id: Uuid,
    mut doubt: Unsettled,
    running: Option<(Wire, Instant)>,
    kept: T,
) {
    let this = Arc::clone(core);
    let task = async move {
        if let Some((wire, over)) = running {
            let patience = over.saturating_duration_since(Instant::now());
            if !this.volguard.server().give_up(wire, patience).await {
                doubt.until = doubt.until.max(over);
            }
        }
        let settled = look(&this, id, &doubt).await;
        if !settled {
            this.unsettled().insert(id, doubt);
        }
        drop(kept);
        if !settled {
            look_again(&this, id).await;
        }
    };
    core.tasks.spawn_on(task, &core.runtime);
}

/// The same for a request whose locks are held: after their release.
pub(crate) fn settle_later(core: &Arc<Core>, id: Uuid, doubt: Unsettled) {
    core.unsettled().insert(id, doubt);
    let this = Arc::clone(core);
    core.tasks.spawn_on(async move { look_again(&this, id).await }, &core.runtime);
}

async fn look_again(core: &Arc<Core>, id: Uuid) {
    for pause in pauses() {
        tokio::select! {
            () = sleep(pause) => {}
            _ = core.lease.lost() => return,
        }
        // A later request with this id has taken over.
        let Some(doubt) = core.unsettled().get(&id).cloned() else { return };
        // A task of this process that holds or wants a key goes first.
        let Some(_places) = core.lines.try_join_all(&doubt.names) else { continue };
        if core.unsettled().contains_key(&id) && look(core, id, &doubt).await {
            core.unsettled().remove(&id);
            return;
        }
    }
}

/// Whether nothing is left to settle: the server has answered, and the statement was over before.
async fn look(core: &Core, id: Uuid, doubt: &Unsettled) -> bool {
    let over = doubt.until <= Instant::now();
    let found = match doubt.work {
        true => leave_work(core, id).await,
        false => release_request(core, id).await.map(|_| false),
    };
    match found {
        Ok(found) => found || over,
        Err(error) => {
            core.heed(&error);
            tracing::debug!(request_id = %id, %error, "a request is still unsettled");
            false
        }
    }
}

async fn release_request(core: &Core, id: Uuid) -> Result<u64, Error> {
    let connection = core.volguard.connection().await?;
    let call = sql::release_requests(&connection, core.service_id, std::slice::from_ref(&id));
    let released = connection.run("release_requests", call).await?;
    if released > 0 {
        tracing::info!(service_id = core.service_id, request_id = %id, released, "released what a lost answer left");
    }
    Ok(released)
}

/// Finds work whose answer was lost. It stays, for cleanup or for a request with the same id.
async fn leave_work(core: &Core, id: Uuid) -> Result<bool, Error> {
    let connection = core.volguard.connection().await?;
    let call = sql::started_work(&connection, core.service_id, id);
    let Some(token) = connection.run("started_work", call).await? else { return Ok(false) };
    tracing::warn!(service_id = core.service_id, request_id = %id, token, "work whose answer was lost is left to cleanup");
    // So that no reconcile releases it.
    core.known().insert(token);
    Ok(true)
}
