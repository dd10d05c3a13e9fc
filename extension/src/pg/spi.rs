//! Runs SQL from inside the backend.
//!
//! pgrx's own SPI client doesn't fit: it runs a `SELECT` with the snapshot of the calling statement until the
//! transaction has an id, and assigns an id before each write. A lookup of a lock could be stale, and a refused
//! `acquire` would use up an id. Here every execution is a statement of its own, with its own snapshot.

use super::catch::{catching, raw};
use super::error::Error;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{FromDatum, IntoDatum};
use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};

/// One bound parameter; `None` is NULL.
pub type Arg = Option<Datum>;

/// Binds a value.
pub fn arg<T: IntoDatum>(value: T) -> Arg {
    value.into_datum()
}

/// What a statement sees under REPEATABLE READ and above, where the transaction has one snapshot. Under READ COMMITTED
/// both see all that was committed before the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All that is committed by now. The holder of a lock is a matter of now, whatever the isolation level.
    Latest,
    /// What the transaction sees, with error 40001 on a conflict. For the user's own tables.
    Transaction,
}

/// A prepared statement that outlives its transaction.
#[derive(Debug)]
pub struct Plan(NonNull<pg_sys::_SPI_plan>);

// SAFETY: a backend has one thread, and pgrx refuses to call Postgres from any other.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Plan {
    /// Prepares `sql`, in which every name and operator must carry its schema: when the `search_path` has changed,
    /// Postgres analyses a kept plan anew under the current one.
    ///
    /// The plan is generic, made without the parameters' values, so that a repeated call does no planning.
    pub fn prepare(sql: &str, types: &[Oid]) -> Result<Plan, Error> {
        Plan::prepare_with(pg_sys::CURSOR_OPT_GENERIC_PLAN, sql, types)
    }

    /// As above, but planned at each call for its parameters: the length of an array can matter more than the cost of
    /// planning.
    pub fn prepare_for_each(sql: &str, types: &[Oid]) -> Result<Plan, Error> {
        Plan::prepare_with(pg_sys::CURSOR_OPT_CUSTOM_PLAN, sql, types)
    }

    fn prepare_with(options: u32, sql: &str, types: &[Oid]) -> Result<Plan, Error> {
        let sql = CString::new(sql).map_err(|_| Error::Unsupported {
            what: "a NUL byte can't be part of a statement".to_owned(),
            hint: "Take the NUL byte out of the names and values.",
        })?;
        connected(|| {
            // SAFETY: both pointers outlive the call; SPI is connected; the closure owns nothing.
            let plan = unsafe {
                let (sql, types, count) = (sql.as_ptr(), types.as_ptr(), types.len() as i32);
                catching(|| raw::SPI_prepare_cursor(sql, count, types.cast_mut(), options as i32))?
            };
            let plan = NonNull::new(plan).expect("SPI prepares or raises");
            // SAFETY: a fresh plan of this connection; keeping it moves it to memory that lasts.
            unsafe { pg_sys::SPI_keepplan(plan.as_ptr()) };
            Ok(Plan(plan))
        })
    }

    /// Runs the statement and hands its rows to `read`, which must copy what it keeps.
    pub fn run<R>(&self, view: View, args: &[Arg], read: impl FnOnce(&Rows) -> R) -> Result<R, Error> {
        let mut values: Vec<Datum> = args.iter().map(|a| a.unwrap_or(Datum::null())).collect();
        let nulls: Vec<c_char> = args.iter().map(|a| if a.is_some() { b' ' } else { b'n' } as c_char).collect();
        connected(|| {
            // SAFETY: the arrays have one element a parameter and outlive the call; the plan is kept; the snapshot
            // is copied by SPI; the closure owns nothing.
            unsafe {
                let snapshot = match view {
                    View::Latest if transaction_snapshot_only() => pg_sys::GetLatestSnapshot(),
                    _ => ptr::null_mut(),
                };
                let (plan, values, nulls) = (self.0.as_ptr(), values.as_mut_ptr(), nulls.as_ptr());
                catching(|| raw::SPI_execute_snapshot(plan, values, nulls, snapshot, ptr::null_mut(), false, true, 0))?;
            }
            Ok(read(&Rows::current()))
        })
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: a kept plan, freed once.
        unsafe { pg_sys::SPI_freeplan(self.0.as_ptr()) };
    }
}

/// Runs a utility command, as the current user.
pub fn utility(sql: &str) -> Result<(), Error> {
    let sql = CString::new(sql).expect("built from quoted names");
    connected(|| {
        let sql = sql.as_ptr();
        // SAFETY: a C string that outlives the call; SPI is connected; the closure owns nothing.
        unsafe { catching(|| raw::SPI_execute(sql, false, 0))? };
        Ok(())
    })
}

/// True under REPEATABLE READ and SERIALIZABLE.
pub fn transaction_snapshot_only() -> bool {
    // SAFETY: a plain variable of the backend.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Opens SPI for `body`. After an error the transaction's abort closes it.
fn connected<R>(body: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // SAFETY: connect and finish are paired wherever the transaction goes on.
    unsafe {
        pg_sys::SPI_connect();
        let result = body()?;
        pg_sys::SPI_finish();
        Ok(result)
    }
}

/// The rows of the statement that has just run.
#[derive(Debug)]
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
}

impl Rows {
    fn current() -> Self {
        // SAFETY: plain variables of the backend, set by the execution just before.
        unsafe { Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize } }
    }

    /// The number of rows returned, or changed by a statement that returns none.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The value in `row` and `column`, both counted from 0; `None` for NULL and beyond the last row.
    pub fn get<T: FromDatum>(&self, row: usize, column: usize) -> Option<T> {
        let (datum, type_oid) = self.datum(row, column)?;
        // SAFETY: the datum is not null and of that type.
        unsafe { T::from_polymorphic_datum(datum, false, type_oid) }
    }

    /// Every row, by its number; one that `read` takes for incomplete is left out.
    pub fn each<T>(&self, read: impl FnMut(usize) -> Option<T>) -> Vec<T> {
        (0..self.count).filter_map(read).collect()
    }

    /// The first column of every row, where it is a number.
    pub fn numbers(&self) -> Vec<i64> {
        self.each(|row| self.get(row, 0))
    }

    /// The first row as a tuple, and what describes it. Both live while SPI is connected.
    pub fn first_tuple(&self) -> Option<(pg_sys::HeapTuple, pg_sys::TupleDesc)> {
        if self.table.is_null() || self.count == 0 {
            return None;
        }
        // SAFETY: the table has `count` rows.
        unsafe { Some((*(*self.table).vals, (*self.table).tupdesc)) }
    }

    /// The value as it is, in the memory that was current before the statement.
    pub fn kept(&self, row: usize, column: usize) -> Arg {
        let (datum, type_oid) = self.datum(row, column)?;
        let (mut length, mut by_value) = (0, false);
        // SAFETY: a value of that type, while SPI is connected.
        unsafe {
            pg_sys::get_typlenbyval(type_oid, &mut length, &mut by_value);
            Some(pg_sys::SPI_datumTransfer(datum, by_value, length.into()))
        }
    }

    fn datum(&self, row: usize, column: usize) -> Option<(Datum, Oid)> {
        if self.table.is_null() || row >= self.count {
            return None;
        }
        let number = column as i32 + 1;
        // SAFETY: the table has `count` rows while SPI is connected; SPI checks the column's number.
        unsafe {
            let descriptor = (*self.table).tupdesc;
            let tuple = *(*self.table).vals.add(row);
            let mut is_null = true;
            let datum = pg_sys::SPI_getbinval(tuple, descriptor, number, &mut is_null);
            (!is_null).then(|| (datum, pg_sys::SPI_gettypeid(descriptor, number)))
        }
    }
}
