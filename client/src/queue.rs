//! The wait queues inside one process: of all tasks that want one key, only the first asks the database.
//!
//! So a key occupies one connection at most, however many tasks wait for it, and tasks are served first come, first
//! served. Mutual exclusion doesn't depend on these queues: the server guarantees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::key::Name;
use crate::requests::InUse;

/// The queues of all keys that this session holds or wants.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    heads: Mutex<HashMap<Arc<Name>, Arc<Semaphore>>>,
}

/// A place in a key's queue; its head, once it has the permit.
#[derive(Debug)]
pub(crate) struct Place {
    lines: Arc<Lines>,
    key: Arc<Name>,
    permit: Option<OwnedSemaphorePermit>,
}

/// The heads of several queues, and the id of the request that has them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    _heads: HashMap<Arc<Name>, Place>,
    pub(crate) request: Option<InUse>,
}

impl Lines {
    /// Joins the queues of all these keys and resolves as the head of each. While it waits it is the head of none: the
    /// task that it waits for may want one of the others. A dropped future has left all of them.
    pub(crate) async fn join_all(self: &Arc<Self>, keys: &[Arc<Name>]) -> Places {
        let keys = in_order(keys);
        let mut next = keys.first().copied();
        while let Some(first) = next {
            let mut heads = HashMap::from([(Arc::clone(first), self.join(first).await)]);
            next = keys.iter().copied().filter(|key| *key != first).find(|key| {
                let place = self.try_join(key);
                let busy = place.is_none();
                heads.extend(place.map(|place| (Arc::clone(key), place)));
                busy
            });
            if next.is_none() {
                return Places { _heads: heads, request: None };
            }
        }
        Places::default()
    }

    async fn join(self: &Arc<Self>, key: &Arc<Name>) -> Place {
        let (mut place, head) = self.place(key);
        place.permit = Some(head.acquire_owned().await.expect("the queue of a key is never closed"));
        place
    }

    /// The head of the queue, if no task holds or wants the key.
    fn try_join(self: &Arc<Self>, key: &Arc<Name>) -> Option<Place> {
        let (mut place, head) = self.place(key);
        place.permit = Some(head.try_acquire_owned().ok()?);
        Some(place)
    }

    fn place(self: &Arc<Self>, key: &Arc<Name>) -> (Place, Arc<Semaphore>) {
        let mut heads = self.lock();
        let head = heads.entry(Arc::clone(key)).or_insert_with(|| Arc::new(Semaphore::new(1)));
        (Place { lines: Arc::clone(self), key: Arc::clone(key), permit: None }, Arc::clone(head))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Name>, Arc<Semaphore>>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The order in which tasks join several queues; each queue once.
fn in_order(keys: &[Arc<Name>]) -> Vec<&Arc<Name>> {
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort();
    keys.dedup();
    keys
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        // Counted under the lock under which places are made: the last one removes the entry. A task that waits or has
        // the permit keeps the semaphore.
        let mut heads = self.lines.lock();
        if heads.get(&self.key).is_some_and(|head| Arc::strong_count(head) == 1) {
            heads.remove(&self.key);
        }
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
        let lines = Arc::new(Lines::default());
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
        let lines = Arc::new(Lines::default());
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
        let lines = Arc::new(Lines::default());
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
