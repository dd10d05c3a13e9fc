//! The judge.

mod answers;
mod effects;
mod endings;
mod losses;
mod numbers;
mod sets;
#[cfg(test)]
mod tests;
mod time;

use std::collections::HashMap;

use uuid::Uuid;

pub use self::numbers::check as check_numbers;
use self::time::Frontier;
use super::{Act, Answer, Call, Change, Entry, History, Offence};

/// The violations in a history; empty if there are none.
#[must_use]
pub fn check(history: &History) -> Vec<Offence> {
    let index = Index::of(&history.journal);
    let mut offences = effects::check(&history.journal);
    offences.extend(answers::check(history, &index));
    offences.extend(sets::check(history));
    let over = Frontier::of(&history.calls, &index);
    offences.extend(time::check(&history.calls, &index, &over));
    offences.extend(losses::check(history, &over));
    offences.extend(endings::check(&history.endings));
    offences
}

/// The violations in a journal alone, whatever clients were told. A database that has lost commits is judged by this.
#[must_use]
pub fn check_journal(journal: &[Entry]) -> Vec<Offence> {
    effects::check(journal)
}

/// Where to find the effects of a call.
struct Index<'a> {
    /// More than one for a request that was sent again when its connection broke: the first sending
    /// may still wait in the queue when the second has been served, and then be served itself.
    taken: HashMap<(Uuid, &'a str), Vec<&'a Entry>>,
    freed: HashMap<i64, &'a Entry>,
    written: HashMap<Uuid, &'a Entry>,
}

impl<'a> Index<'a> {
    fn of(journal: &'a [Entry]) -> Self {
        let mut taken = HashMap::<_, Vec<_>>::new();
        let (mut freed, mut written) = (HashMap::new(), HashMap::new());
        for entry in journal {
            match &entry.change {
                Change::Taken { request, key, .. } => {
                    taken.entry((*request, &**key)).or_default().push(entry);
                }
                Change::Freed { token, .. } => drop(freed.insert(*token, entry)),
                Change::Wrote { write, .. } => drop(written.insert(*write, entry)),
                Change::Ended { .. } => {}
            }
        }
        Self { taken, freed, written }
    }

    /// The effect of the call, if any. A freed lock counts for a release only
    /// if the release was confirmed: otherwise another call may have freed it.
    fn effect(&self, call: &Call) -> Option<&'a Entry> {
        match &call.act {
            Act::Acquire { request, key, .. } => self.won(*request, key, call.answer),
            Act::Write { write, .. } => self.written.get(write).copied(),
            Act::Release { token, .. } if call.answer == Answer::Released => self.freed.get(token).copied(),
            Act::Register { .. } | Act::Release { .. } => None,
        }
    }

    /// The lock that the request was told of, or else the first that it took.
    fn won(&self, request: Uuid, key: &str, answer: Answer) -> Option<&'a Entry> {
        let taken = self.taken.get(&(request, key))?;
        let told = taken.iter().find(|entry| match entry.change {
            Change::Taken { token, .. } => answer == Answer::Token(token),
            _ => false,
        });
        told.or(taken.first()).copied()
    }
}
