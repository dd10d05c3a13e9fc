//! What is to be locked.

use crate::error::Error;
use crate::json::{self, Part};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Identifies a lock: of one key, one is held at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct Name {
    pub(crate) resource_type: String,
    pub(crate) resource_id: String,
    pub(crate) lock_name: String,
}

/// One lock of a request: a resource's type and id, and what is to be noted with the lock.
///
/// `Key::new("volume", "v-17").lock_name("snapshots").status("deleting")`, or `("volume", "v-17").into()` for a plain
/// lock.
#[derive(Debug, Clone)]
#[must_use = "it is to be passed to `acquire`"]
pub struct Key {
    pub(crate) name: Arc<Name>,
    pub(crate) status: Option<String>,
    details: Option<Part>,
}

impl Key {
    /// The lock named `""` of a resource.
    pub fn new(resource_type: impl Into<String>, resource_id: impl Into<String>) -> Key {
        let (resource_type, resource_id) = (resource_type.into(), resource_id.into());
        let name = Name { resource_type, resource_id, lock_name: String::new() };
        Key { name: Arc::new(name), status: None, details: None }
    }

    /// The name of the lock, for a resource with several locks that don't exclude each other. Default: empty.
    pub fn lock_name(mut self, name: impl Into<String>) -> Key {
        Arc::make_mut(&mut self.name).lock_name = name.into();
        self
    }

    /// What is being done under the lock. A lock with a status outlives its holder until the resource is cleaned up,
    /// and a resource has one at most.
    pub fn status(self, status: impl Into<String>) -> Key {
        Key { status: Some(status.into()), ..self }
    }

    /// Details for people to read, shown with the lock in the view `lock_status`.
    pub fn details(self, details: impl Serialize) -> Key {
        Key { details: Some(json::json(details)), ..self }
    }

    pub(crate) fn details_json(&self) -> Result<Option<&RawValue>, Error> {
        let refused = |problem: &String| json::invalid("details", problem.clone());
        self.details.as_ref().map(|part| part.as_deref().map_err(refused)).transpose()
    }
}

impl<T: Into<String>, I: Into<String>> From<(T, I)> for Key {
    /// The resource's type and id.
    fn from((resource_type, resource_id): (T, I)) -> Key {
        Key::new(resource_type, resource_id)
    }
}

/// What [`Session::acquire`](crate::Session::acquire) takes: a [`Key`], a pair of type and id, or a list of these.
pub trait IntoKeys: sealed::Sealed {
    #[doc(hidden)]
    fn into_keys(self) -> Vec<Key>;
}

mod sealed {
    pub trait Sealed {}
    impl<K: Into<super::Key>> Sealed for K {}
    impl<K: Into<super::Key>> Sealed for Vec<K> {}
    impl<K: Into<super::Key>, const N: usize> Sealed for [K; N] {}
}

impl<K: Into<Key>> IntoKeys for K {
    fn into_keys(self) -> Vec<Key> {
        vec![self.into()]
    }
}

impl<K: Into<Key>> IntoKeys for Vec<K> {
    fn into_keys(self) -> Vec<Key> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<K: Into<Key>, const N: usize> IntoKeys for [K; N] {
    fn into_keys(self) -> Vec<Key> {
        self.into_iter().map(Into::into).collect()
    }
}
