//! The waiting lines of all locks of a call.

use super::list::Wanted;
use crate::pg::error::Error;
use crate::sabotage::{self, Guard};
use crate::wait::{Deadline, WaitQueue};

/// So often a call lets itself be overtaken before it insists.
const PATIENCE: u32 = 3;

/// The lines of a call, in the order that is the same for every call, and which of them it heads.
///
/// A call that waits heads the one line that it waits in and no other, so it keeps nobody from a lock that is free, and
/// can't be part of a deadlock. The price is that it may be overtaken: while it waits for one lock, another that it waited for
/// before is taken again. After a few times it *insists*: it queues for all its lines, in order, and gives none up until it
/// has all locks. Who insists waits, with some lines headed, only for lines that come later; so the calls that insist
/// can't wait for each other in a circle either.
pub struct Lines {
    places: Vec<Place>,
    overtaken: u32,
    insisting: bool,
}

struct Place {
    line: WaitQueue,
    headed: bool,
    waited: bool,
}

impl Lines {
    pub fn of(cluster: &str, locks: &[Wanted]) -> Self {
        let mut places: Vec<Place> = locks
            .iter()
            .map(|lock| lock.line(cluster))
            .chain(
                locks
                    .iter()
                    .filter(|lock| lock.working)
                    .map(|lock| lock.work_line(cluster)),
            )
            .map(|line| Place {
                line,
                headed: false,
                waited: false,
            })
            .collect();
        if !sabotage::removed(Guard::LineOrder) {
            places.sort_unstable_by_key(|place| place.line.order());
        }
        Lines {
            places,
            overtaken: 0,
            // Without the guard a call insists from the start.
            insisting: sabotage::removed(Guard::GiveWay),
        }
    }

    /// Becomes head of all lines, as far as nobody else is. The first that somebody heads, if any.
    pub fn head_free_ones(&mut self) -> Result<Option<WaitQueue>, Error> {
        for place in self.places.iter_mut().filter(|place| !place.headed) {
            place.headed = place.line.try_head()?;
            if !place.headed {
                return Ok(Some(place.line));
            }
        }
        Ok(None)
    }

    pub fn heads(&self, line: WaitQueue) -> bool {
        self.places[self.position(line)].headed
    }

    /// Gives the others up, unless it insists.
    pub fn give_way_but_in(&mut self, line: WaitQueue) {
        let kept = self.position(line);
        self.places[kept].waited = true;
        if self.insisting {
            return;
        }
        for (at, place) in self.places.iter_mut().enumerate() {
            if at != kept {
                place.leave();
            }
        }
    }

    /// Queues until head; false if the time ran out first.
    pub fn queue(&mut self, line: WaitQueue, deadline: &Deadline) -> Result<bool, Error> {
        let at = self.position(line);
        self.overtaken += u32::from(self.places[at].waited);
        self.insisting |= self.overtaken >= PATIENCE && !sabotage::removed(Guard::Insist);
        if self.insisting {
            return self.queue_for_all(deadline);
        }
        self.leave();
        let place = &mut self.places[at];
        place.waited = true;
        place.headed = line.become_head(deadline)?;
        Ok(place.headed)
    }

    fn queue_for_all(&mut self, deadline: &Deadline) -> Result<bool, Error> {
        // Those that it heads by chance may come after one that it has to wait for.
        self.leave();
        for place in &mut self.places {
            place.headed = place.line.try_head()? || place.line.become_head(deadline)?;
            if !place.headed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives all lines up.
    pub fn leave(&mut self) {
        self.places.iter_mut().for_each(Place::leave);
    }

    fn position(&self, line: WaitQueue) -> usize {
        let same = |place: &Place| place.line == line;
        self.places
            .iter()
            .position(same)
            .expect("a line of this call")
    }
}

impl Place {
    fn leave(&mut self) {
        if std::mem::take(&mut self.headed) {
            self.line.leave();
        }
    }
}

impl Wanted {
    pub fn line(&self, cluster: &str) -> WaitQueue {
        WaitQueue::of_key(
            cluster,
            &self.resource_type,
            &self.resource_id,
            &self.lock_name,
        )
    }

    pub fn work_line(&self, cluster: &str) -> WaitQueue {
        WaitQueue::of_work(cluster, &self.resource_type, &self.resource_id)
    }
}
