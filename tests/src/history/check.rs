//! The judge.

mod answers;
mod asked;
mod effects;
mod endings;
mod losses;
mod numbers;
mod sets;
#[cfg(test)]
mod tests;
mod time;
mod work;

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
    offences.extend(work::check(history, &index, &over));
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
    submitted: HashMap<Uuid, &'a Entry>,
    /// Where a row of work got its token, and where it had that for the last time.
    began: HashMap<i64, &'a Entry>,
    left: HashMap<i64, &'a Entry>,
}

impl<'a> Index<'a> {
    fn of(journal: &'a [Entry]) -> Self {
        let mut taken = HashMap::<_, Vec<_>>::new();
        let (mut freed, mut written) = (HashMap::new(), HashMap::new());
        let (mut submitted, mut began, mut left) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut tokens = HashMap::<&str, i64>::new();
        for entry in journal {
            match &entry.change {
                Change::Taken { request, key, .. } => {
                    taken.entry((*request, &**key)).or_default().push(entry);
                }
                Change::Freed { token, .. } => drop(freed.insert(*token, entry)),
                Change::Wrote { write, .. } => drop(written.insert(*write, entry)),
                Change::Work { key, piece } => {
                    submitted.entry(piece.request).or_insert(entry);
                    began.entry(piece.token).or_insert(entry);
                    if let Some(before) = tokens.insert(key, piece.token) {
                        left.insert(before, entry);
                    }
                }
                Change::WorkEnded { key, token } => {
                    tokens.remove(&**key);
                    left.insert(*token, entry);
                }
                Change::Ended { .. } | Change::Status { .. } => {}
            }
        }
        Self { taken, freed, written, submitted, began, left }
    }

    /// The effect of the call, if any. A freed lock counts for a release only
    /// if the release was confirmed: otherwise another call may have freed it.
    fn effect(&self, call: &Call) -> Option<&'a Entry> {
        match &call.act {
            Act::Acquire { request, key, .. } => self.won(*request, key, call.answer),
            Act::Write { write, .. } => self.written.get(write).copied(),
            Act::Release { token, .. } if call.answer == Answer::Released => self.freed.get(token).copied(),
            Act::Submit { request, .. } if matches!(call.answer, Answer::Submitted(_)) => {
                self.submitted.get(request).copied()
            }
            Act::Take { .. } => match call.answer {
                Answer::Token(token) => self.began.get(&token).copied(),
                _ => None,
            },
            Act::Finish { token, .. } | Act::Cancel { work: token } | Act::Pass { token }
                if call.answer == Answer::Written =>
            {
                self.left.get(token).copied()
            }
            _ => None,
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
