//! The request ids that are in use in this process, and those that are being settled: never both at once.
//!
//! A settlement releases all that the server holds for a request id, of whatever key. So it must not run while a guard
//! or a request under way has that id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use uuid::Uuid;

/// The ids of a session.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    ids: Mutex<HashMap<Uuid, Arc<RwLock<()>>>>,
}

/// An id that requests or guards use, until this is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    _entry: Entry<OwnedRwLockReadGuard<()>>,
}

/// An id that is being settled, until this is dropped.
#[derive(Debug)]
pub(crate) struct Settling {
    _entry: Entry<OwnedRwLockWriteGuard<()>>,
}

#[derive(Debug)]
struct Entry<G> {
    requests: Arc<Requests>,
    id: Uuid,
    guard: Option<G>,
}

impl Requests {
    /// Uses an id, together with others that use it. Waits while it is being settled.
    /// *Cancel safety:* A dropped future leaves nothing behind.
    pub(crate) async fn begin(self: &Arc<Self>, id: Uuid) -> InUse {
        let (mut entry, lock) = self.entry(id);
        entry.guard = Some(lock.read_owned().await);
        InUse { _entry: entry }
    }

    /// Uses an id, unless it is being settled.
    pub(crate) fn try_begin(self: &Arc<Self>, id: Uuid) -> Option<InUse> {
        let (mut entry, lock) = self.entry(id);
        entry.guard = Some(lock.try_read_owned().ok()?);
        Some(InUse { _entry: entry })
    }

    /// Begins to settle an id, unless it is in use.
    pub(crate) fn try_settle(self: &Arc<Self>, id: Uuid) -> Option<Settling> {
        let (mut entry, lock) = self.entry(id);
        entry.guard = Some(lock.try_write_owned().ok()?);
        Some(Settling { _entry: entry })
    }

    fn entry<G>(self: &Arc<Self>, id: Uuid) -> (Entry<G>, Arc<RwLock<()>>) {
        let lock = Arc::clone(self.lock().entry(id).or_default());
        (Entry { requests: Arc::clone(self), id, guard: None }, lock)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<RwLock<()>>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G> Drop for Entry<G> {
    fn drop(&mut self) {
        // Under the lock under which entries are made: the last one removes it.
        let mut ids = self.requests.lock();
        self.guard = None;
        if ids.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            ids.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn an_id_is_in_use_or_settled_and_nothing_stays() {
        let (requests, id) = (Arc::new(Requests::default()), Uuid::new_v4());
        let (one, two) = (requests.begin(id).await, requests.begin(id).await);
        drop(one);
        assert!(requests.try_settle(id).is_none());
        assert!(requests.try_settle(Uuid::new_v4()).is_some());
        drop(two);
        let settling = requests.try_settle(id).unwrap();
        assert!(timeout(Duration::from_millis(10), requests.begin(id)).await.is_err());
        let next = tokio::spawn({
            let requests = Arc::clone(&requests);
            async move { requests.begin(id).await }
        });
        tokio::task::yield_now().await;
        drop(settling);
        let next = next.await.unwrap();
        assert_eq!(requests.lock().len(), 1);
        drop(next);
        assert_eq!(requests.lock().len(), 0);
    }
}
