//! A call that waits, as the others see it: it has a seat, a note, and says if its wait is dangerous.
//!
//! A call that doesn't wait has none of this.

use super::note::{self, Markers, Note};
use super::seat::Seat;
use super::tag::Tag;
use crate::pg::error::Error;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};

/// One call, from its begin to its end.
pub struct Present {
    service_id: i64,
    /// The transaction had written before the call.
    has_written: bool,
    waiting: Option<Waiting>,
}

struct Waiting {
    /// In microseconds.
    since: i64,
    seat: Seat,
    markers: Option<Markers>,
}

impl Present {
    /// To be made before the call writes.
    pub fn of(service_id: i64) -> Self {
        // SAFETY: reads the state of the running transaction.
        let xid = unsafe { pg_sys::GetTopTransactionIdIfAny() };
        Present { service_id, has_written: xid != pg_sys::InvalidTransactionId, waiting: None }
    }

    /// To be called before each sleep or wait: what the call waits for, and the names of the lock.
    pub fn waits_for(&mut self, tag: &Tag, names: [&str; 3]) -> Result<(), Error> {
        self.show(tag, names, false)
    }

    /// As above, if the call has its turn and waits for the row of the resource.
    pub fn waits_for_row(&mut self, tag: &Tag, names: [&str; 3]) -> Result<(), Error> {
        self.show(tag, names, true)
    }

    fn show(&mut self, tag: &Tag, names: [&str; 3], for_row: bool) -> Result<(), Error> {
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            none => {
                let seat = Seat::take()?;
                if self.has_written {
                    warn();
                }
                // SAFETY: reads the clock.
                let since = unsafe { pg_sys::GetCurrentTimestamp() };
                none.insert(Waiting { since, seat, markers: None })
            }
        };
        // What ran since the last wait may have cleared the note: a subtransaction that was undone, a user's trigger.
        if let Some(markers) = waiting.markers.take() {
            markers.remove();
        }
        let note = Note { for_row, ..Note::of(tag, self.service_id, waiting.since, names) };
        if !note.show() {
            waiting.markers = Some(Markers::set(tag, self.service_id, waiting.since)?);
        }
        Ok(())
    }

    /// The call has ended without an error.
    pub fn end(mut self) {
        if let Some(Waiting { seat, markers, .. }) = self.waiting.take() {
            note::take_back();
            seat.leave();
            if let Some(markers) = markers {
                markers.remove();
            }
        }
    }
}

impl Drop for Present {
    /// After an error. The abort gives the locks back.
    fn drop(&mut self) {
        if self.waiting.is_some() {
            note::take_back();
        }
    }
}

/// What the transaction has locked stays locked while the call sleeps, and Postgres sees no circle through a sleep.
fn warn() {
    let message = "volguard: this call waits in a transaction that has written already";
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "wait")
        .set_hint(
            "What it has locked stays locked meanwhile, and if the holder of the lock needs it, both wait until the wait is over. Commit before you wait, or pass wait => '0'.",
        )
        .report(PgLogLevel::WARNING);
}
