//! The wait queues inside one process: of all tasks that want one key, only the first asks the database.
//!
//! So a key occupies one connection at most, however many tasks wait for it, and tasks are served first come, first
//! served. Mutual exclusion doesn't depend on these queues: the server guarantees it.
//!
//! Request ids have such queues, too. A settlement releases all that the server holds for an id, of whatever key, so it
//! has its turn alone; requests under way and guards share theirs.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use uuid::Uuid;

use crate::key::Name;

/// The queues of all keys that this session holds or wants.
#[derive(Debug)]
pub(crate) struct Queues<K> {
    queues: Mutex<HashMap<K, Arc<RwLock<()>>>>,
}

/// A place in a key's queue; its head, once it has the permit.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    queues: Arc<Queues<K>>,
    key: K,
    permit: Option<Permit>,
}

#[derive(Debug)]
enum Permit {
    Alone(#[expect(dead_code, reason = "held")] OwnedRwLockWriteGuard<()>),
    Shared(#[expect(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
}

/// The heads of several queues, and the id of the request that has them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    _heads: Vec<Place<Arc<Name>>>,
    pub(crate) request: Option<Place<Uuid>>,
}

impl<K: Clone + Eq + Hash> Queues<K> {
    /// Waits until no other has the key.
    pub(crate) async fn join(self: &Arc<Self>, key: &K) -> Place<K> {
        let (place, queue) = self.place(key);
        place.with(Permit::Alone(queue.write_owned().await))
    }

    /// The key, if no other has it or waits for it.
    pub(crate) fn try_join(self: &Arc<Self>, key: &K) -> Option<Place<K>> {
        let (place, queue) = self.place(key);
        Some(place.with(Permit::Alone(queue.try_write_owned().ok()?)))
    }

    /// Waits until no other has the key alone.
    pub(crate) async fn share(self: &Arc<Self>, key: &K) -> Place<K> {
        let (place, queue) = self.place(key);
        place.with(Permit::Shared(queue.read_owned().await))
    }

    /// A share of the key, if no other has it alone.
    pub(crate) fn try_share(self: &Arc<Self>, key: &K) -> Option<Place<K>> {
        let (place, queue) = self.place(key);
        Some(place.with(Permit::Shared(queue.try_read_owned().ok()?)))
    }

    fn place(self: &Arc<Self>, key: &K) -> (Place<K>, Arc<RwLock<()>>) {
        let queue = Arc::clone(self.lock().entry(key.clone()).or_default());
        (Place { queues: Arc::clone(self), key: key.clone(), permit: None }, queue)
    }
}

impl<K> Queues<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<RwLock<()>>>> {
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
            let mut heads = vec![self.join(first).await];
            next = keys.iter().copied().filter(|key| *key != first).find(|key| {
                let place = self.try_join(key);
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

impl<K: Eq + Hash> Place<K> {
    fn with(mut self, permit: Permit) -> Place<K> {
        self.permit = Some(permit);
        self
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

impl<K> Default for Queues<K> {
    fn default() -> Self {
        Queues { queues: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    fn key(id: &str) -> Arc<Name> {
        Arc::new(Name { resource_type: "volume".into(), resource_id: id.into(), lock_name: String::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn serves_first_come_first_served_and_forgets_those_who_gave_up() {
        let lines = Arc::new(Queues::default());
        let head = lines.join_all(&[key("1")]).await;
        assert!(timeout(Duration::from_secs(1), lines.join_all(&[key("1")])).await.is_err());
        let (served, mut order) = mpsc::unbounded_channel();
        for turn in 0..20 {
            let (lines, served) = (Arc::clone(&lines), served.clone());
            tokio::spawn(async move {
                let _place = lines.join_all(&[key("1")]).await;
                served.send(turn).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop((head, served));
        for turn in (0..20).map(Some).chain([None]) {
            assert_eq!(order.recv().await, turn);
        }
        assert_eq!(lines.lock().len(), 0);
    }

    #[tokio::test]
    async fn all_lines_or_none() {
        let lines = Arc::new(Queues::default());
        let busy = lines.try_join(&key("2")).unwrap();
        let wanted = ["3", "1", "2", "3"].map(key);
        let waiting = tokio::spawn({
            let (lines, wanted) = (Arc::clone(&lines), wanted.clone());
            async move { lines.join_all(&wanted).await }
        });
        tokio::task::yield_now().await;
        assert!(["1", "3"].map(key).iter().all(|key| lines.try_join(key).is_some()));
        drop(busy);
        let _places = waiting.await.unwrap();
        assert_eq!(lines.lock().len(), 3);
        assert!(["1", "2", "3"].map(key).iter().all(|key| lines.try_join(key).is_none()));
    }

    /// In the order in which the tasks name the keys, each would get its first queue and wait for another's.
    #[tokio::test(start_paused = true)]
    async fn waits_form_no_circle() {
        let lines = Arc::new(Queues::default());
        let mut running = tokio::task::JoinSet::new();
        for turn in 0..20 {
            let lines = Arc::clone(&lines);
            running.spawn(async move {
                let mut keys = ["1", "2", "3"].map(key);
                keys.rotate_left(turn % 3);
                for _ in 0..10 {
                    let _places = lines.join_all(&keys).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        timeout(Duration::from_secs(1), running.join_all()).await.expect("no circle");
        assert_eq!(lines.lock().len(), 0);
    }
}
