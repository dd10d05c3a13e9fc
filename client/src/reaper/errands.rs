//! What the reaper does: one batch of releases, one check of the unsettled requests and the lost claims.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{Release, Unsettled};
use crate::acquire::{Granted, Reply, Request, Wanted};
use crate::error::Error;
use crate::session::{Core, REPLY_LIMIT};
use crate::statements;

/// Releases a batch. Returns what the server has not answered for.
pub(super) async fn release(core: Arc<Core>, batch: Vec<Release>) -> Vec<Release> {
    match release_now(&core, &batch).await {
        Ok(()) => Vec::new(),
        Err(error) if error.is_retryable() => {
            tracing::debug!(service_id = core.service_id, %error, "releases are repeated");
            batch
        }
        // A release that the server refuses must not stop the others.
        Err(_) if batch.len() > 1 => {
            let mut left = Vec::new();
            for one in batch {
                left.extend(Box::pin(release(Arc::clone(&core), vec![one])).await);
            }
            left
        }
        Err(error) => {
            tracing::error!(service_id = core.service_id, %error, "a lock can't be released");
            Vec::new()
        }
    }
}

async fn release_now(core: &Core, batch: &[Release]) -> Result<(), Error> {
    let of_kind = |claims: bool| -> Vec<i64> {
        let wanted = batch.iter().filter(|release| release.claim == claims);
        wanted.map(|release| release.token).collect()
    };
    let (locks, claims) = (of_kind(false), of_kind(true));
    if !locks.is_empty() {
        core.release_all(&locks).await?;
    }
    if !claims.is_empty() {
        core.abandon_all(&claims).await?;
    }
    Ok(())
}

/// Gives back claims that the server has recorded for this session and the session doesn't know of.
async fn settle_claims(core: &Core) -> Result<(), Error> {
    let Some(until) = *core.doubted_claims() else {
        return Ok(());
    };
    let _claiming = core.claiming.lock().await;
    let began = Instant::now();
    let rows = core.volguard.rows_within(REPLY_LIMIT, &statements::CLAIMS, &[&core.service_id]).await?;
    let claims = rows.iter().map(|row| row.try_get::<_, i64>(0));
    let mut lost = claims.collect::<Result<Vec<_>, _>>()?;
    lost.retain(|token| !core.known().contains(token));
    if !lost.is_empty() {
        tracing::info!(service_id = core.service_id, tokens = ?lost, "giving back what a lost answer left behind");
        core.abandon_all(&lost).await?;
    }
    let mut doubt = core.doubted_claims();
    if began >= until && *doubt == Some(until) {
        *doubt = None;
    }
    Ok(())
}

/// Repeats each unsettled request, without waiting, and releases what it gets.
pub(super) async fn settle(core: Arc<Core>) -> Vec<Release> {
    if let Err(error) = settle_claims(&core).await {
        core.heed(&error);
        tracing::debug!(service_id = core.service_id, %error, "claims are still in doubt");
    }
    let requests: Vec<(Uuid, Unsettled)> =
        core.unsettled().iter().map(|(id, unsettled)| (*id, unsettled.clone())).collect();
    let mut left = Vec::new();
    for (id, unsettled) in requests {
        left.extend(settle_one(&core, id, unsettled).await);
    }
    left
}

/// Returns what could not be released. The request stays on the list until a check that begins when its statement is
/// certainly over.
async fn settle_one(core: &Arc<Core>, id: Uuid, unsettled: Unsettled) -> Vec<Release> {
    // A task of this process that holds or wants the key must not lose it; the reaper comes back later.
    let Some(mut places) = core.lines.try_join_all(&unsettled.keys) else {
        return Vec::new();
    };
    if !core.unsettled().contains_key(&id) {
        return Vec::new();
    }
    let began = Instant::now();
    let _gate = core.gate.read().await;
    if unsettled.work {
        settle_work(core, id, began >= unsettled.until).await;
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut all_asked = true;
    // One by one: of a request for several locks, an administrator may have taken some away.
    for key in unsettled.keys {
        let request = Request::one(id, Wanted::of(key));
        match ask(core, &request).await {
            Ok(granted) => found.extend(granted),
            Err(error) => {
                core.heed(&error);
                tracing::debug!(request_id = %id, %error, "a request is still unsettled");
                all_asked = false;
                break;
            }
        }
    }
    if all_asked && began >= unsettled.until {
        core.unsettled().remove(&id);
    }
    if found.is_empty() {
        return Vec::new();
    }
    // Each place goes with its token: no task here gets the key before the release is answered.
    let mut batch = Vec::with_capacity(found.len());
    for Granted { key, token, .. } in found {
        tracing::info!(service_id = core.service_id, request_id = %id, token, "releasing what a lost answer left behind");
        core.known().insert(token);
        let _place = places.remove(&key);
        batch.push(Release { token, claim: false, _place });
    }
    release(Arc::clone(core), batch).await
}

/// Finds work that was started by a request whose answer was lost. The work stays, for cleanup or for a request with
/// the same id.
async fn settle_work(core: &Core, id: Uuid, certainly_over: bool) {
    let answer = core.volguard.rows_within(REPLY_LIMIT, &statements::STARTED_WORK, &[&core.service_id, &id]).await;
    let token = match answer.and_then(|rows| Ok(rows.first().map(|row| row.try_get(0)).transpose()?)) {
        Ok(token) => token,
        Err(error) => {
            tracing::debug!(request_id = %id, %error, "a request is still unsettled");
            return;
        }
    };
    if let Some(token) = token {
        tracing::warn!(service_id = core.service_id, request_id = %id, token, "work whose answer was lost is left to cleanup");
        core.known().insert(token);
    }
    if token.is_some() || certainly_over {
        core.unsettled().remove(&id);
    }
}

async fn ask(core: &Core, request: &Request) -> Result<Vec<Granted>, Error> {
    let client = core.volguard.checkout().await?;
    let answer = timeout(REPLY_LIMIT, request.send(core, &client, Duration::ZERO)).await;
    match answer {
        Ok(answer) => answer.map(Reply::unwrap_or_default).map_err(Error::from),
        Err(_) => {
            core.volguard.cancel(&client.cancel_token()).await;
            drop(Object::take(client));
            Err(Error::NoReply)
        }
    }
}
