//! Catches an error of Postgres as a value.
//!
//! The C functions below are declared here, without the guard that pgrx puts around its bindings, so that their
//! `longjmp` ends in [`catching`] and the whole report is kept.

use super::error::Error;
use super::report::PgError;
use crate::sabotage::{self, Guard};
use pgrx::pg_sys;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

/// Postgres functions that raise errors which belong to the user. Call them only inside [`catching`].
pub mod raw {
    use pgrx::pg_sys::{
        CommandId, Datum, EPQState, EState, FmgrInfo, HeapTuple, IndexScanDesc, LOCKTAG, List, LockAcquireResult,
        LockData, Oid, RawParseMode, Relation, ResultRelInfo, SPIPlanPtr, ScanDirection, ScanKey, Snapshot,
        SysScanDesc, TransactionId, TupleDesc, TupleTableSlot, TupleTableSlotOps, Tuplestorestate, XLTW_Oper,
        dsm_segment,
    };
    use std::ffi::{c_char, c_int, c_long, c_void};

    unsafe extern "C-unwind" {
        pub fn SPI_prepare_cursor(
            src: *const c_char,
            nargs: c_int,
            argtypes: *mut Oid,
            cursor_options: c_int,
        ) -> SPIPlanPtr;
        pub fn SPI_execute_snapshot(
            plan: SPIPlanPtr,
            values: *mut Datum,
            nulls: *const c_char,
            snapshot: Snapshot,
            crosscheck: Snapshot,
            read_only: bool,
            fire_triggers: bool,
            tcount: c_long,
        ) -> c_int;
        pub fn SPI_execute(src: *const c_char, read_only: bool, tcount: c_long) -> c_int;
        pub fn LockAcquire(
            tag: *const LOCKTAG,
            mode: c_int,
            session_lock: bool,
            dont_wait: bool,
        ) -> LockAcquireResult::Type;
        pub fn XactLockTableWait(
            xid: TransactionId,
            rel: Relation,
            ctid: *mut pgrx::pg_sys::ItemPointerData,
            oper: XLTW_Oper::Type,
        );
        pub fn GetLockStatusData() -> *mut LockData;
        pub fn dsm_create(size: usize, flags: c_int) -> *mut dsm_segment;
        pub fn ProcessInterrupts();
        /// `libpq/libpq.h`, which pgrx doesn't bind.
        pub fn pq_check_connection() -> bool;
        pub fn palloc(size: usize) -> *mut c_void;
        pub fn palloc0(size: usize) -> *mut c_void;
        pub fn CreateExecutorState() -> *mut EState;
        pub fn FreeExecutorState(state: *mut EState);
        pub fn InitResultRelInfo(
            target: *mut ResultRelInfo,
            relation: Relation,
            index: u32,
            root: *mut ResultRelInfo,
            instrument: c_int,
        );
        pub fn ExecOpenIndices(target: *mut ResultRelInfo, speculative: bool);
        pub fn ExecCloseIndices(target: *mut ResultRelInfo);
        pub fn MakeSingleTupleTableSlot(descriptor: TupleDesc, kind: *const TupleTableSlotOps) -> *mut TupleTableSlot;
        pub fn ExecStoreHeapTuple(row: HeapTuple, slot: *mut TupleTableSlot, should_free: bool) -> *mut TupleTableSlot;
        pub fn ExecStoreVirtualTuple(slot: *mut TupleTableSlot) -> *mut TupleTableSlot;
        pub fn ExecSimpleRelationInsert(target: *mut ResultRelInfo, state: *mut EState, slot: *mut TupleTableSlot);
        pub fn ExecSimpleRelationUpdate(
            target: *mut ResultRelInfo,
            state: *mut EState,
            recheck: *mut EPQState,
            old: *mut TupleTableSlot,
            new: *mut TupleTableSlot,
        );
        pub fn ExecSimpleRelationDelete(
            target: *mut ResultRelInfo,
            state: *mut EState,
            recheck: *mut EPQState,
            slot: *mut TupleTableSlot,
        );
        pub fn ExecFetchSlotHeapTuple(
            slot: *mut TupleTableSlot,
            materialize: bool,
            should_free: *mut bool,
        ) -> HeapTuple;
        pub fn AfterTriggerBeginQuery();
        pub fn ExecCloseResultRelations(state: *mut EState);
        pub fn ExecResetTupleTable(slots: *mut List, should_free: bool);
        pub fn AfterTriggerEndQuery(state: *mut EState);
        pub fn heap_copytuple(tuple: HeapTuple) -> HeapTuple;
        pub fn heap_deform_tuple(tuple: HeapTuple, descriptor: TupleDesc, values: *mut Datum, nulls: *mut bool);
        pub fn heap_form_tuple(descriptor: TupleDesc, values: *mut Datum, nulls: *mut bool) -> HeapTuple;
        pub fn heap_copy_tuple_as_datum(tuple: HeapTuple, descriptor: TupleDesc) -> Datum;
        pub fn FunctionCall1Coll(function: *mut FmgrInfo, collation: Oid, argument: Datum) -> Datum;
        pub fn nextval_internal(sequence: Oid, check_permissions: bool) -> i64;
        pub fn LockRelationOid(relation: Oid, mode: c_int);
        pub fn ConditionalLockRelationOid(relation: Oid, mode: c_int) -> bool;
        pub fn CommandCounterIncrement();
        pub fn GetCurrentCommandId(used: bool) -> CommandId;
        pub fn GetTransactionSnapshot() -> Snapshot;
        pub fn GetLatestSnapshot() -> Snapshot;
        pub fn GetActiveSnapshot() -> Snapshot;
        pub fn PushActiveSnapshot(snapshot: Snapshot);
        pub fn PopActiveSnapshot();
        pub fn CommitTransactionCommand();
        pub fn table_open(relation: Oid, mode: c_int) -> Relation;
        pub fn relation_close(relation: Relation, mode: c_int);
        pub fn ScanKeyEntryInitialize(
            entry: ScanKey,
            flags: c_int,
            column: i16,
            strategy: u16,
            subtype: Oid,
            collation: Oid,
            procedure: Oid,
            argument: Datum,
        );
        pub fn systable_beginscan(
            heap: Relation,
            index: Oid,
            index_ok: bool,
            snapshot: Snapshot,
            nkeys: c_int,
            key: ScanKey,
        ) -> SysScanDesc;
        pub fn systable_getnext(scan: SysScanDesc) -> HeapTuple;
        pub fn systable_endscan(scan: SysScanDesc);
        pub fn index_open(relation: Oid, mode: c_int) -> Relation;
        pub fn index_rescan(scan: IndexScanDesc, keys: ScanKey, nkeys: c_int, orderbys: ScanKey, norderbys: c_int);
        pub fn index_getnext_slot(
            scan: IndexScanDesc,
            direction: ScanDirection::Type,
            slot: *mut TupleTableSlot,
        ) -> bool;
        pub fn index_endscan(scan: IndexScanDesc);
        pub fn systable_beginscan_ordered(
            heap: Relation,
            index: Relation,
            snapshot: Snapshot,
            nkeys: c_int,
            key: ScanKey,
        ) -> SysScanDesc;
        pub fn systable_getnext_ordered(scan: SysScanDesc, direction: ScanDirection::Type) -> HeapTuple;
        pub fn systable_endscan_ordered(scan: SysScanDesc);
        pub fn table_slot_create(relation: Relation, list: *mut *mut List) -> *mut TupleTableSlot;
        pub fn ExecDropSingleTupleTableSlot(slot: *mut TupleTableSlot);
        pub fn try_relation_open(relation: Oid, mode: c_int) -> Relation;
        pub fn OidInputFunctionCall(function: Oid, text: *mut c_char, typioparam: Oid, typmod: i32) -> Datum;
        pub fn OidOutputFunctionCall(function: Oid, value: Datum) -> *mut c_char;
        pub fn tuplestore_begin_heap(
            random_access: bool,
            inter_transaction: bool,
            max_kilobytes: c_int,
        ) -> *mut Tuplestorestate;
        pub fn tuplestore_putvalues(
            store: *mut Tuplestorestate,
            descriptor: TupleDesc,
            values: *mut Datum,
            nulls: *mut bool,
        );
        pub fn raw_parser(sql: *const c_char, mode: RawParseMode::Type) -> *mut List;
        pub fn ThrowErrorData(edata: *mut pgrx::pg_sys::ErrorData);
        pub fn ReThrowError(edata: *mut pgrx::pg_sys::ErrorData) -> !;
    }

    /// `index_beginscan`, which counts for EXPLAIN since 18.
    ///
    /// # Safety
    /// As the function.
    pub unsafe fn begin_index_scan(heap: Relation, index: Relation, snapshot: Snapshot, nkeys: c_int) -> IndexScanDesc {
        unsafe extern "C-unwind" {
            #[cfg(not(feature = "pg18"))]
            fn index_beginscan(
                heap: Relation,
                index: Relation,
                snapshot: Snapshot,
                nkeys: c_int,
                norderbys: c_int,
            ) -> IndexScanDesc;
            #[cfg(feature = "pg18")]
            fn index_beginscan(
                heap: Relation,
                index: Relation,
                snapshot: Snapshot,
                instrument: *mut c_void,
                nkeys: c_int,
                norderbys: c_int,
            ) -> IndexScanDesc;
        }
        // SAFETY: the caller's promise.
        unsafe {
            #[cfg(not(feature = "pg18"))]
            return index_beginscan(heap, index, snapshot, nkeys, 0);
            #[cfg(feature = "pg18")]
            return index_beginscan(heap, index, snapshot, std::ptr::null_mut(), nkeys, 0);
        }
    }
}

/// Runs `call` and turns an error that Postgres raises in it into [`Error::Postgres`].
///
/// After an error the transaction is as broken as after any other: either return the error to the caller, or roll a
/// subtransaction back that was opened before.
///
/// # Safety
/// `call` calls only functions of [`raw`], and owns nothing that has a destructor: an error jumps out of it.
pub unsafe fn catching<T>(call: impl FnOnce() -> T) -> Result<T, Error> {
    let mut result = MaybeUninit::<T>::uninit();
    // SAFETY: Postgres is single-threaded, and the saved handlers are put back on both ways out, so its exception
    // stack is after the call what it was before. CopyErrorData needs a context other than the error context; the
    // transaction's outlives the subtransaction that the caller may roll back.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let handlers = pg_sys::PG_exception_stack;
        let callbacks = pg_sys::error_context_stack;
        let jumped = cee_scape::call_with_sigsetjmp(false, |buffer| {
            pg_sys::PG_exception_stack = std::ptr::from_ref(buffer).cast_mut().cast();
            result.write(call());
            0
        });
        pg_sys::PG_exception_stack = handlers;
        pg_sys::error_context_stack = callbacks;
        if jumped == 0 {
            return Ok(result.assume_init());
        }
        pg_sys::CurrentMemoryContext = pg_sys::TopTransactionContext;
        let data = NonNull::new_unchecked(pg_sys::CopyErrorData());
        pg_sys::CurrentMemoryContext = context;
        pg_sys::FlushErrorState();
        Err(Error::Postgres(PgError(data)))
    }
}

/// Raises the pending cancel or shutdown, if there is one.
pub fn check_interrupts() -> Result<(), Error> {
    // SAFETY: InterruptPending is a plain variable of the backend; the closure owns nothing.
    unsafe {
        if pg_sys::InterruptPending != 0 {
            catching(|| raw::ProcessInterrupts())?;
        }
    }
    Ok(())
}

fn catch_panic<T>(body: impl FnOnce() -> T) -> std::thread::Result<T> {
    match sabotage::removed(Guard::PanicEndsSubtransaction) {
        true => Ok(body()),
        // What `body` refers to is not used any more once the panic goes on.
        false => catch_unwind(AssertUnwindSafe(body)),
    }
}

/// Runs `body` in a subtransaction. It is kept if `body` returns a value, and undone after `None` or an error.
pub fn attempt<T>(body: impl FnOnce() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    // SAFETY: the sequence of PL/pgSQL's exception blocks: memory context and resource owner are put back after
    // either end of the subtransaction. Errors of `body` arrive here as values. A panic is held back until the
    // subtransaction has ended: the abort that it leads to ends only the innermost one, and would leave the session in
    // an aborted transaction with all its locks.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let result = catch_panic(|| {
            if sabotage::removed(Guard::NoPanic) {
                panic!("a panic for a test");
            }
            body()
        });
        match result {
            Ok(Ok(Some(_))) => pg_sys::ReleaseCurrentSubTransaction(),
            _ => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
