//! Where rows were when they were last seen or written: a way to them that passes no index.
//!
//! A place is a hint, and all that makes it true is looked at each time: the buffer still has that page of the table; a version
//! in the chain that starts there is alive; it is the row that is meant. Where one of these is not so, the row has moved, or
//! has gone, or the page was evicted, and an index tells.

use crate::pg::catch::raw;
use pgrx::itemptr::{item_pointer_get_both, item_pointer_set_all};
use pgrx::pg_sys::{self, Buffer, HeapTuple, ItemPointerData, Oid, Relation};
use std::cell::Cell;
use std::ptr;

/// Rows that a backend remembers. A process is one service and has few locks at a time; a pooler shares its backends among some.
const REMEMBERED: usize = 64;

/// No page has more tuples: each takes a header and a line pointer at least.
const MOST_TUPLES: usize = pg_sys::BLCKSZ as usize / (24 + 4);

thread_local! {
    /// Rows of `services`, by their ids.
    pub static SERVICES: Places = const { Places::new() };
    /// Rows of `workers`, by their tokens.
    pub static TOKENS: Places = const { Places::new() };
}

/// Where the versions of a row start that its index entries lead to, and in which buffer that page was.
#[derive(Clone, Copy)]
pub struct Place {
    buffer: Buffer,
    root: ItemPointerData,
}

/// Places by the numbers of their rows. Of two that share a slot the later one stays.
pub struct Places([Cell<Option<(i64, Place)>>; REMEMBERED]);

impl Places {
    const fn new() -> Self {
        Places([const { Cell::new(None) }; REMEMBERED])
    }

    fn slot(&self, number: i64) -> &Cell<Option<(i64, Place)>> {
        &self.0[number.cast_unsigned() as usize % REMEMBERED]
    }

    pub fn get(&self, number: i64) -> Option<Place> {
        let known = self.slot(number).get();
        known.and_then(|(of, place)| (of == number).then_some(place))
    }

    /// Remembers a place, if there is one to remember.
    pub fn note(&self, number: i64, place: Option<Place>) {
        if let Some(place) = place {
            self.slot(number).set(Some((number, place)));
        }
    }
}

impl Place {
    /// Of a row that was just inserted.
    ///
    /// # Safety
    /// Inside [`crate::pg::catch::catching`]; the table is open, a heap, and has the row there.
    pub unsafe fn of_new(table: Relation, root: ItemPointerData) -> Self {
        // SAFETY: the caller's promise; the page is pinned for no longer than it takes to learn its buffer's number.
        unsafe {
            let buffer = raw::ReadBuffer(table, item_pointer_get_both(root).0);
            raw::ReleaseBuffer(buffer);
            Place { buffer, root }
        }
    }

    /// Of a row that was found by an index. `None` if the table is no heap.
    ///
    /// # Safety
    /// Inside [`crate::pg::catch::catching`]; the table is open, and the row has its page pinned.
    pub unsafe fn of_found(table: Relation, row: HeapTuple) -> Option<Self> {
        let mut roots = [0; MOST_TUPLES];
        // SAFETY: the caller's promise, so the page is there; the array has room for all tuples of one.
        unsafe {
            if (*(*table).rd_rel).relam != pg_sys::HEAP_TABLE_AM_OID {
                return None;
            }
            let (block, offset) = item_pointer_get_both((*row).t_self);
            let buffer = raw::ReadBuffer(table, block);
            raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            raw::heap_get_root_tuples(pg_sys::BufferGetPage(buffer), roots.as_mut_ptr());
            raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
            raw::ReleaseBuffer(buffer);
            let first = *roots.get(usize::from(offset).checked_sub(1)?)?;
            let mut root = (*row).t_self;
            item_pointer_set_all(&mut root, block, first);
            (first != 0).then_some(Place { buffer, root })
        }
    }

    /// Hands the version that is alive there to `read`: the latest that is committed at this moment, or this transaction's
    /// own. `None` if there is none, or `read` says that it is another row.
    ///
    /// A page that the table has no longer, because it was cut off or written anew, is in no buffer under its name.
    ///
    /// # Safety
    /// Inside [`crate::pg::catch::catching`], in a transaction that holds a lock on the table. `read` calls nothing but functions
    /// of [`raw`] and owns nothing.
    pub unsafe fn look<R>(
        self,
        table: Oid,
        read: impl FnOnce(Relation, HeapTuple) -> Option<R>,
    ) -> Option<R> {
        // SAFETY: the caller's promise. What is opened here is closed here, or by the abort when an error jumps out. The page
        // stays pinned while the tuple is read, and no version that was alive leaves it until then.
        unsafe {
            // As before a look through an index: whoever goes on to delete the row does so in a command after the one that made it.
            raw::CommandCounterIncrement();
            let relation = raw::table_open(table, pg_sys::NoLock as i32);
            let found = match self.pin(relation) {
                true => {
                    let mut tuple = pg_sys::HeapTupleData::default();
                    let found = match self.newest(relation, &mut tuple) {
                        true => read(relation, &mut tuple),
                        false => None,
                    };
                    raw::ReleaseBuffer(self.buffer);
                    found
                }
                false => None,
            };
            raw::relation_close(relation, pg_sys::NoLock as i32);
            found
        }
    }

    /// # Safety
    /// As [`Place::look`].
    unsafe fn pin(&self, table: Relation) -> bool {
        // SAFETY: the caller's promise; the number is that of a buffer.
        unsafe {
            #[cfg(any(feature = "pg14", feature = "pg15"))]
            let file = (*table).rd_node;
            #[cfg(not(any(feature = "pg14", feature = "pg15")))]
            let file = (*table).rd_locator;
            let block = item_pointer_get_both(self.root).0;
            raw::ReadRecentBuffer(file, pg_sys::ForkNumber::MAIN_FORKNUM, block, self.buffer)
        }
    }

    /// Walks the chain as an index scan would do that sees what is committed and what the transaction has done: of the
    /// versions of a row one at most is alive so. An update that is committed while we walk has not begun for us, or it has
    /// put its version behind the one that it ended.
    ///
    /// # Safety
    /// As [`Place::look`]; the page is pinned.
    unsafe fn newest(&self, table: Relation, tuple: HeapTuple) -> bool {
        let mut at = self.root;
        let buffer = self.buffer;
        // SAFETY: the caller's promise.
        unsafe {
            let alive = &raw mut pg_sys::SnapshotSelfData;
            let unasked = ptr::null_mut();
            raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let found =
                raw::heap_hot_search_buffer(&mut at, table, buffer, alive, tuple, unasked, true);
            raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
            found
        }
    }
}
