//! What is to happen.

use proptest::prelude::*;
use volguard_tests::scenario::{Direction, When};

/// How many locks there are to fight for.
pub const KEYS: usize = 3;

/// What each actor does, one step after the other; all of them at once, those with an even number in one process and the others
/// in another.
#[derive(Debug, Clone)]
pub struct Plan {
    pub actors: Vec<Vec<Step>>,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// One lock, or several together.
    Acquire {
        keys: Vec<usize>,
        /// In milliseconds.
        wait: u64,
        until: Moment,
    },
    /// Gives back what the actor holds: counted from the oldest, over again if there is less.
    Release { held: usize, until: Moment },
    /// Drops it.
    Forget { held: usize },
    /// Releases what the process' session doesn't know of, while others acquire.
    Reconcile { until: Moment },
    /// Another service of the same process, which takes no locks.
    Start { until: Moment },
    /// Cuts the connection of the process over which the byte goes that comes after that many, and so on.
    Cut {
        direction: Direction,
        after: usize,
        times: usize,
    },
}

/// When a future is dropped.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// Not at all.
    End,
    Poll(When),
    /// When its process has sent and received so many bytes more.
    Bytes(usize),
}

pub fn any() -> impl Strategy<Value = Plan> {
    let steps = prop::collection::vec(step(), 1..12);
    prop::collection::vec(steps, 2..5).prop_map(|actors| Plan { actors })
}

fn step() -> impl Strategy<Value = Step> {
    let keys = prop_oneof![
        4 => (0..KEYS).prop_map(|key| vec![key]),
        3 => Just((0..KEYS).collect::<Vec<_>>()).prop_shuffle()
            .prop_flat_map(|keys| (1..=KEYS).prop_map(move |count| keys[..count].to_vec())),
    ];
    let acquire = (keys, 0..60_u64, moment());
    // A statement takes some 100 bytes, its reply as many, logging in over 1,000.
    let offset = || prop_oneof![3 => 0..60_usize, 3 => 0..250_usize, 1 => 0..2500_usize];
    let direction = prop_oneof![Just(Direction::Request), Just(Direction::Reply)];
    prop_oneof![
        6 => acquire.prop_map(|(keys, wait, until)| Step::Acquire { keys, wait, until }),
        4 => (0..4_usize, moment()).prop_map(|(held, until)| Step::Release { held, until }),
        1 => (0..4_usize).prop_map(|held| Step::Forget { held }),
        1 => moment().prop_map(|until| Step::Reconcile { until }),
        2 => moment().prop_map(|until| Step::Start { until }),
        3 => (direction, offset(), 1..5_usize)
            .prop_map(|(direction, after, times)| Step::Cut { direction, after, times }),
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        3 => Just(Moment::End),
        1 => (0..6_usize).prop_map(|polls| Moment::Poll(When::AfterPoll(polls))),
        1 => (0..6_usize).prop_map(|polls| Moment::Poll(When::BeforePollAfter(polls))),
        2 => prop_oneof![4 => 0..300_usize, 1 => 0..2500_usize].prop_map(Moment::Bytes),
    ]
}
