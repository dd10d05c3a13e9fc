//! The wait queues inside one process: of all tasks that want one key, only the first asks the database.
//!
//! So a key occupies one connection at most, however many tasks wait for it, and tasks are served first come, first
//! served. Mutual exclusion doesn't depend on these queues: the server guarantees it.
//!
//! Request ids have such queues, too. A settlement releases all that the server holds for an id, of whatever key, so it
//! has its turn alone; requests under way and guards share theirs.

use crate::key::Name;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// How much of a key one task takes: all of it, or a share.
pub(crate) const ALONE: u32 = 1 << 16;
pub(crate) const SHARED: u32 = 1;

/// The queues of all keys that this session holds or wants.
#[derive(Debug, Default)]
pub(crate) struct Queues<K> {
    queues: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// A place in a key's queue; its head, once it has the permit.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    queues: Arc<Queues<K>>,
    key: K,
    permit: Option<OwnedSemaphorePermit>,
}

/// The heads of several queues, and the id of the request that has them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    _heads: Vec<Place<Arc<Name>>>,
    pub(crate) request: Option<Place<Uuid>>,
}

impl<K: Clone + Eq + Hash> Queues<K> {
    /// Waits for so much of the key.
    pub(crate) async fn join(self: &Arc<Self>, key: &K, part: u32) -> Place<K> {
        let (mut place, queue) = self.place(key);
        place.permit = Some(queue.acquire_many_owned(part).await.expect("the queue of a key is never closed"));
        place
    }

    /// So much of the key, if it is free and no task waits for it.
    pub(crate) fn try_join(self: &Arc<Self>, key: &K, part: u32) -> Option<Place<K>> {
        let (mut place, queue) = self.place(key);
        place.permit = Some(queue.try_acquire_many_owned(part).ok()?);
        Some(place)
    }

    fn place(self: &Arc<Self>, key: &K) -> (Place<K>, Arc<Semaphore>) {
        let mut queues = self.lock();
        let queue = queues.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(ALONE as usize)));
        (Place { queues: Arc::clone(self), key: key.clone(), permit: None }, Arc::clone(queue))
    }
}

impl<K> Queues<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues<Arc<Name>> {
    /// Joins the queues of all these keys and resolves as the head of each. While it waits it is the head of none: the
    /// task that it waits for may want one of the others. A dropped future has left all of them.
    pub(crate) async fn join_all(self: &Arc<Self>, keys: &[Arc<Name>]) -> Places {
        // Each queue once, in an order that all tasks have in common.
        let keys: BTreeSet<_> = keys.iter().collect();
        let mut next = keys.first().copied();
        while let Some(first) = next {
            let mut heads = vec![self.join(first, ALONE).await];
            next = keys.iter().copied().filter(|key| *key != first).find(|key| {
                let place = self.try_join(key, ALONE);
                let busy = place.is_none();
                heads.extend(place);
                busy
            });
            if next.is_none() {
                return Places { _heads: heads, request: None };
            }
        }
        Places::default()
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        self.permit = None;
        // Counted under the lock under which places are made: the last one removes the entry. A task that waits or has
        // a permit keeps the queue.
        let mut queues = self.queues.lock();
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_key_is_shared_or_had_alone_and_nothing_stays() {
        let (queues, id) = (Arc::new(Queues::default()), Uuid::new_v4());
        let (one, two) = (queues.join(&id, SHARED).await, queues.join(&id, SHARED).await);
        drop(one);
        assert!(queues.try_join(&id, ALONE).is_none());
        assert!(queues.try_join(&Uuid::new_v4(), ALONE).is_some());
        drop(two);
        let alone = queues.try_join(&id, ALONE).unwrap();
        assert!(timeout(Duration::ZERO, queues.join(&id, SHARED)).await.is_err());
        drop(alone);
        let next = queues.join(&id, SHARED).await;
        assert_eq!(queues.lock().len(), 1);
        drop(next);
        assert_eq!(queues.lock().len(), 0);
    }
}
