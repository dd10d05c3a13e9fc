//! One request, from the claim to its end.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use volguard::Session;

use super::failure::Failure;
use super::locks::{Held, Locks};
use super::rows::{Situation, finish};
use super::{Manager, zombie};
use crate::event::{Attempt, Event};
use crate::operation::Operation;
use crate::request::{Ending, Request};
use crate::storage::{Owner, Storage, StorageError};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) manager: Arc<Manager>,
    pub(super) session: Session,
    pub(super) request: i64,
}

/// Whether the request is out of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    Closed,
    /// Another manager has it, or it went wrong here: not to be tried again at once.
    Left,
}

impl Job {
    pub(super) async fn run(self) -> anyhow::Result<JobEnd> {
        match self.perform().await {
            Ok(end) => Ok(end),
            Err(Failure::Stopped(_)) => Ok(JobEnd::Left),
            Err(Failure::Trouble(error)) => {
                let message = format!("request {}: {error:#}", self.request);
                Event::Trouble { message }.tell()?;
                Ok(JobEnd::Left)
            }
        }
    }

    async fn perform(&self) -> Result<JobEnd, Failure> {
        let started = Instant::now();
        let locks = Locks {
            session: &self.session,
            sabotage: self.manager.post.sabotage,
            owner: &self.manager.post.name,
        };
        let Some(claim) = locks.claim(self.request).await? else {
            return Ok(JobEnd::Left);
        };
        // It may have been closed between the look and the claim.
        let pool = self.manager.volguard.pool();
        let Some(request) = Request::find_open(pool, self.request).await? else {
            claim.release().await?;
            return Ok(JobEnd::Closed);
        };
        let held = locks.hold(&request).await?;
        let ending = match self.serve(&locks, &request, &held).await {
            Ok(ending) => ending,
            Err(Failure::Stopped(door)) => {
                let attempt = Attempt {
                    service_id: self.session.service_id(),
                    volume: request.volume,
                    token: held.volume.token(),
                };
                Event::Refused {
                    door,
                    attempt: attempt.clone(),
                }
                .tell()?;
                zombie::rattle(&self.manager.volguard, &held.volume, attempt).await?;
                return Ok(JobEnd::Left);
            }
            Err(trouble) => return Err(trouble),
        };
        Event::Closed {
            request: request.id,
            operation: request.operation,
            volume: request.name,
            done: ending == Ending::Done,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
        .tell()?;
        let all = held.into_locks().chain([claim]).collect();
        self.session.release_all(all).await?;
        Ok(JobEnd::Closed)
    }

    /// Does the work on the storage, and then says so in the database. It does not look whether its lock is still
    /// held in between: the storage and the database do.
    async fn serve(
        &self,
        locks: &Locks<'_>,
        request: &Request,
        held: &Held,
    ) -> Result<Ending, Failure> {
        let volguard = &self.manager.volguard;
        let situation = Situation::read(volguard.pool(), request).await?;
        let operation = situation.operation(request)?;
        if operation != request.operation {
            locks.mark_recovering(held).await?;
        }
        let owner = Owner {
            token: held.volume.token(),
            service_id: self.session.service_id(),
            at: situation.at,
        };
        let task = Task {
            storage: self.manager.storage.clone(),
            request: request.clone(),
            operation,
            owner,
            situation,
        };
        let (done, task) = tokio::task::spawn_blocking(move || (task.run(), task))
            .await
            .context("the work on the storage")?;
        done?;
        let host = &self.manager.post.name;
        finish(volguard, request, operation, &task.situation, held, host).await
    }
}

/// The part on the storage, which blocks.
struct Task {
    storage: Storage,
    request: Request,
    operation: Operation,
    owner: Owner,
    situation: Situation,
}

impl Task {
    fn run(&self) -> Result<(), StorageError> {
        let Task {
            request,
            operation,
            owner,
            situation,
            ..
        } = self;
        let inside = self.storage.enter(request.volume, *owner, *operation)?;
        let entered = Event::Entered {
            request: request.id,
            operation: *operation,
            volume: request.volume,
            token: owner.token,
        };
        entered.tell().map_err(std::io::Error::other)?;
        let instance = situation.instance.as_deref().unwrap_or_default();
        let snapshot = request.snapshot.unwrap_or_default();
        match operation {
            Operation::Create => inside.create(situation.size)?,
            Operation::Extend => inside.extend(situation.size, situation.new_size)?,
            Operation::Snapshot => inside.snapshot(snapshot, situation.size)?,
            Operation::Attach => inside.attach(instance)?,
            Operation::Detach => inside.detach()?,
            Operation::Delete => inside.delete()?,
            Operation::Recover => inside.recover(&situation.truth())?,
            Operation::Discard => inside.discard(snapshot)?,
        }
        inside.leave()
    }
}
