//! What clients have asked for, as far as it can be the reason for what became of work.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::super::{Act, Answer, Call, Entry, Finish};
use super::time::Frontier;

#[derive(Default)]
pub(super) struct Asked {
    pub submits: HashSet<(Uuid, String)>,
    /// Requests of which not every call was refused.
    pub open_requests: HashSet<Uuid>,
    pub takers: HashSet<i64>,
    pub finishes: HashSet<(i64, Finish)>,
    pub cancels: HashSet<i64>,
    pub passes: HashSet<i64>,
    /// When the tokens were asked for that clients were told.
    taken: HashMap<i64, u64>,
    givers: HashMap<i64, Vec<GiveBack>>,
}

/// A call by which a service gave back what it had.
struct GiveBack {
    /// How far the database had come before.
    after: u64,
    answered: Option<u64>,
}

impl Asked {
    pub(super) fn of(calls: &[Call], over: &Frontier<'_>) -> Self {
        let mut asked = Self::default();
        // A refused call is no reason for anything.
        for call in calls.iter().filter(|call| call.answer != Answer::Refused) {
            asked.add(call, over);
        }
        asked
    }

    fn add(&mut self, call: &Call, over: &Frontier<'_>) {
        match &call.act {
            Act::Submit { key, request } => {
                self.submits.insert((*request, key.clone()));
                if call.answer != Answer::NotFree {
                    self.open_requests.insert(*request);
                }
            }
            Act::Take { service } => {
                self.takers.insert(*service);
                if let Answer::Token(token) = call.answer {
                    self.taken.insert(token, call.asked);
                }
            }
            Act::Finish { token, how } => _ = self.finishes.insert((*token, *how)),
            Act::Cancel { work } => _ = self.cancels.insert(*work),
            Act::Pass { token } => _ = self.passes.insert(*token),
            Act::GiveBack { service } => {
                let after = over.before(call.asked).map_or(0, |(_, entry)| entry.turn);
                self.givers.entry(*service).or_default().push(GiveBack { after, answered: call.answered });
            }
            Act::Register { .. } | Act::Acquire { .. } | Act::Write { .. } | Act::Release { .. } => {}
        }
    }

    /// Whether a call can have given back there what the service had under this token: it was asked before, and was not
    /// over when that was taken.
    pub(super) fn may_give_back(&self, service: i64, token: i64, entry: &Entry) -> bool {
        let taken = self.taken.get(&token).copied();
        let can_have = |call: &GiveBack| {
            let over = call.answered.zip(taken).is_some_and(|(answered, taken)| answered < taken);
            call.after < entry.turn && !over
        };
        self.givers.get(&service).is_some_and(|calls| calls.iter().any(can_have))
    }
}
