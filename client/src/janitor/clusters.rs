//! The clusters that the sessions of one handle clean: each cluster is cleaned by one of them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Clone, Default)]
pub(crate) struct Clusters {
    taken: Arc<Mutex<HashSet<String>>>,
}

/// The right to clean a cluster, until this is dropped.
#[derive(Debug)]
pub(crate) struct Mine {
    clusters: Clusters,
    name: String,
}

impl Clusters {
    /// `None` if another session of the handle has it.
    pub(crate) fn take(&self, name: &str) -> Option<Mine> {
        let name = name.to_owned();
        self.lock().insert(name.clone()).then(|| Mine { clusters: self.clone(), name })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.clusters.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_looks_after_a_cluster_until_it_leaves() {
        let clusters = Clusters::default();
        let first = clusters.take("ceph").unwrap();
        assert!(clusters.take("ceph").is_none());
        assert!(clusters.take("lvm").is_some());
        drop(first);
        assert!(clusters.take("ceph").is_some());
    }
}
