//! A row of what `claim_cleanup` returns.

use crate::pg::spi::Rows;
use pgrx::datum::AnyElement;
use pgrx::{FromDatum, pg_sys};

/// Work that the claimer has now.
pub struct Claimed {
    token: i64,
    resource_type: String,
    resource_id: String,
    lock_name: String,
    status: String,
    crashed_service_id: i64,
    /// Passed on as it is, however deep it nests.
    details: Option<AnyElement>,
}

impl Claimed {
    pub fn read(rows: &Rows, row: usize) -> Option<Self> {
        Some(Claimed {
            token: rows.get(row, 0)?,
            resource_type: rows.get(row, 1)?,
            resource_id: rows.get(row, 2)?,
            lock_name: rows.get(row, 3)?,
            status: rows.get(row, 4)?,
            crashed_service_id: rows.get(row, 5)?,
            details: rows.get(row, 6).and_then(kept),
        })
    }

    #[allow(clippy::type_complexity, reason = "the SQL interface")]
    pub fn into_row(self) -> (i64, String, String, String, String, i64, Option<AnyElement>) {
        (
            self.token,
            self.resource_type,
            self.resource_id,
            self.lock_name,
            self.status,
            self.crashed_service_id,
            self.details,
        )
    }
}

/// A copy of a jsonb of the statement that has just run, in the memory of whoever called us.
fn kept(value: AnyElement) -> Option<AnyElement> {
    // SAFETY: SPI is connected, and the value a varlena like every jsonb; the copy has the same type.
    unsafe {
        let copy = pg_sys::SPI_datumTransfer(value.datum(), false, -1);
        AnyElement::from_polymorphic_datum(copy, false, value.oid())
    }
}
