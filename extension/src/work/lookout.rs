//! The look for lanes, which does not go from bad to worse while old rows can't be removed.
//!
//! A row that was taken leaves a dead entry in the index of the queue. Scans pass over such entries, and mark them for
//! removal once no snapshot can see the row any more. While a transaction with an old snapshot stays open they can't,
//! and the entries pile up in front of each lane. So where a full look has taken long, a process starts where it found
//! the first row of each lane the last time, and takes what it finds there. Work that was put in front of that place
//! meanwhile, or put back there by a savepoint that was rolled back, and new lanes, are found by the next full look,
//! within two seconds. Only a full look says that there is nothing.

use super::lane::{self, Lane, Service, Wishes};
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use crate::store::queue::Queue;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A full look that takes less is made each time, and is not remembered.
const CHEAP: Duration = Duration::from_millis(2);

/// The time between two full looks, in times of what one takes, and at the most.
const SHARE: u32 = 20;
const LONGEST: Duration = Duration::from_secs(2);

/// How many callers' lanes a process remembers. Beyond that it forgets all.
const REMEMBERED: usize = 64;

/// Whose lanes: cluster, host, and the wishes.
type Whose = (String, String, String);

struct Known {
    lanes: Vec<Lane>,
    looked_at: Instant,
    took: Duration,
}

thread_local! {
    static KNOWN: RefCell<HashMap<Whose, Known>> = RefCell::default();
}

/// The lanes that a full look has found a short while ago, as far as they have work: `None` if none of it is due, or if
/// a full look is cheap.
pub fn known(
    queue: &Queue,
    service: &Service,
    wishes: &Wishes,
    is_due: impl Fn(&Lane) -> bool,
) -> Result<Option<Vec<Lane>>, Error> {
    if !has_slow_looks() {
        return Ok(None);
    }
    let whose = whose(service, wishes);
    let known = KNOWN.with_borrow(|known| {
        let known = known.get(&whose)?;
        // Without the guard a test has all the time that it needs.
        let is_new = known.looked_at.elapsed() < (known.took * SHARE).min(LONGEST);
        (is_new || sabotage::removed(Guard::FullLook)).then(|| known.lanes.clone())
    });
    let Some(known) = known else { return Ok(None) };
    let found = lane::from_marks(queue, &known)?;
    if !found.iter().any(is_due) {
        return Ok(None);
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known.get_mut(&whose) {
            advance(&mut known.lanes, &found);
        }
    });
    Ok(Some(found))
}

/// The lanes that a service may take work from, each with its first row: a full look.
pub fn all(queue: &Queue, service: &Service, wishes: &Wishes) -> Result<Vec<Lane>, Error> {
    let began = Instant::now();
    let lanes = lane::find(queue, service, wishes)?;
    let took = began.elapsed();
    if took > CHEAP || has_slow_looks() {
        remember(whose(service, wishes), &lanes, took);
    }
    Ok(lanes)
}

fn has_slow_looks() -> bool {
    KNOWN.with_borrow(|known| !known.is_empty())
}

fn remember(whose: Whose, lanes: &[Lane], took: Duration) {
    KNOWN.with_borrow_mut(|known| {
        if took <= CHEAP {
            known.remove(&whose);
            return;
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(whose, Known { lanes: lanes.to_vec(), looked_at: Instant::now(), took });
    });
}

fn whose(service: &Service, wishes: &Wishes) -> Whose {
    (service.cluster.to_owned(), service.host.to_owned(), wishes.key())
}

/// A lane without a row keeps its place.
fn advance(known: &mut [Lane], found: &[Lane]) {
    let found: HashMap<_, _> = found.iter().map(|lane| (lane.key(), lane)).collect();
    for known in known {
        if let Some(found) = found.get(&known.key()) {
            *known = (*found).clone();
        }
    }
}
