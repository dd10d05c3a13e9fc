//! What a manager is in the middle of, at a moment when it stands still.

use std::fmt;

use anyhow::Result;
use uuid::Uuid;
use volguard::Volguard;

use crate::operation::Operation;
use crate::storage::{Journal, Mark, Record, Storage};

#[derive(Clone, Debug)]
pub struct Caught {
    pub name: String,
    pub service_id: i64,
    /// The database's clock, in microseconds.
    pub at: i64,
    pub plain_locks: i64,
    pub locks_with_work: i64,
    pub interrupted: Vec<Interrupted>,
}

/// A request that the manager has claimed.
#[derive(Clone, Debug)]
pub struct Interrupted {
    pub request: i64,
    pub operation: Operation,
    pub volume: Uuid,
    pub volume_name: String,
    /// Whose status a crash rule will change: the snapshot's or the volume's row.
    pub subject: Uuid,
    /// The last step of it in the volume's journal; none if it only waits for the volume.
    pub step: Option<String>,
}

impl Caught {
    /// Asks the database what the service holds, and the journals how far it is.
    pub async fn look(
        volguard: &Volguard,
        storage: &Storage,
        name: &str,
        service_id: i64,
    ) -> Result<Caught> {
        let client = volguard.pool().get().await?;
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
                          count(*) FILTER (WHERE status IS NULL), count(status) \
                   FROM volguard.lock_status WHERE service_id = $1";
        let totals = client.query_one(sql, &[&service_id]).await?;
        let sql = "SELECT r.id, r.operation, r.volume_id, v.name, coalesce(r.snapshot_id, r.volume_id), \
                          EXISTS (SELECT FROM volguard.lock_status AS w WHERE w.service_id = $1 AND w.status IS NOT NULL \
                                  AND w.resource_id = coalesce(r.snapshot_id, r.volume_id)::text) \
                   FROM volguard.lock_status AS l \
                   JOIN volguard_demo.requests AS r ON r.id::text = l.resource_id AND r.state = 'open' \
                   JOIN volguard_demo.volumes AS v ON v.id = r.volume_id \
                   WHERE l.service_id = $1 AND l.resource_type = 'volguard_demo.request' ORDER BY r.id";
        let mut interrupted = Vec::new();
        for row in client.query(sql, &[&service_id]).await? {
            let volume = row.try_get(2)?;
            let operation: Operation = row.try_get::<_, &str>(1)?.parse()?;
            // Of two snapshots of one volume the journal tells only that one has begun; its lock tells which.
            let working: bool = row.try_get(5)?;
            let step = if working {
                last_step(storage, volume, service_id, operation)
            } else {
                None
            };
            interrupted.push(Interrupted {
                request: row.try_get(0)?,
                operation,
                volume,
                volume_name: row.try_get(3)?,
                subject: row.try_get(4)?,
                step,
            });
        }
        Ok(Caught {
            name: name.to_owned(),
            service_id,
            at: totals.try_get(0)?,
            plain_locks: totals.try_get(1)?,
            locks_with_work: totals.try_get(2)?,
            interrupted,
        })
    }

    /// How many operations it has begun and not ended. None if it stands inside the storage's own lock, which a disk array
    /// would not leave to a host that stands still.
    pub fn under_way(&self, storage: &Storage) -> Result<usize> {
        let mut count = 0;
        for work in self.interrupted.iter().filter(|work| work.step.is_some()) {
            if Journal::is_locked(&storage.layout().journal(work.volume))? {
                return Ok(0);
            }
            count += 1;
        }
        Ok(count)
    }
}

/// The latest record, if it is a change by this service that is not ended.
fn last_step(
    storage: &Storage,
    volume: Uuid,
    service_id: i64,
    operation: Operation,
) -> Option<String> {
    let journal = Journal::read(&storage.layout().journal(volume)).ok()?;
    let Record {
        mark,
        service_id: writer,
        operation: written,
        note,
        ..
    } = journal.last()?.clone()?;
    (mark == Mark::Write && writer == service_id && written == operation).then_some(note)
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "in the middle of {} requests, {} locks with work and {} plain ones in hand",
            self.interrupted.len(),
            self.locks_with_work,
            self.plain_locks
        )?;
        for work in &self.interrupted {
            let step = work.step.as_deref().unwrap_or("waiting");
            write!(f, "; {} {} ({step})", work.operation, work.volume_name)?;
        }
        Ok(())
    }
}
