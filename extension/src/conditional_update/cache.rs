//! Statements and their plans, kept for calls that look alike.
//!
//! Here is the map from a [`cache_key`] to a [`cached_update`]; [`claims`] proves that a kept statement takes each
//! value from the call that runs it. [`plan`] keeps plans, [`row_lock`] locks a row without a statement, [`memory`]
//! is a memory context.

pub mod cache_key;
pub mod cached_update;
mod claims;
mod memory;
pub mod plan;
mod row_lock;

use cache_key::CacheKey;
use cached_update::CachedUpdate;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// How many are kept. Each takes some kilobytes, its plan included.
const MOST: usize = 256;

/// With a hash that is fast for some hundred bytes. A caller who makes keys collide slows down only their own session.
type CachedUpdates = HashMap<Vec<u8>, Rc<CachedUpdate>, Xxh3DefaultBuilder>;

thread_local! {
    // Never dropped: no function of Postgres may be called when the backend exits.
    static CACHE: ManuallyDrop<RefCell<CachedUpdates>> = ManuallyDrop::new(RefCell::default());
}

/// A copy of the pointer, because the statement may fire a trigger that calls us again and forgets the entry.
pub fn find(key: &CacheKey) -> Option<Rc<CachedUpdate>> {
    CACHE.with(|cache| cache.borrow().get(&key.bytes).cloned())
}

pub fn keep(key: CacheKey, update: CachedUpdate) {
    CACHE.with(|cache| {
        let mut cache = cache.borrow_mut();
        if cache.len() >= MOST {
            // An application has few keys. With hundreds of them a better choice would gain nothing.
            cache.clear();
        }
        cache.insert(key.bytes, Rc::new(update));
    });
}

pub fn forget(key: &CacheKey) {
    CACHE.with(|cache| cache.borrow_mut().remove(&key.bytes));
}
