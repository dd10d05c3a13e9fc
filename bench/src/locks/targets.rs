//! What the figures are to reach.

use super::contender::Contender;
use super::score::{Cell, Line, Score};
use super::turn::Load;
use crate::rounds::Rounds;

/// One ratio, and how large it should be.
#[derive(Debug)]
pub struct Target {
    pub what: String,
    pub goal: f64,
    pub ratio: Rounds,
    /// The same ratio of what is the limit: the SQL by hand, in the same rounds.
    pub by_hand: Option<Rounds>,
}

impl Target {
    pub fn reached(&self) -> bool {
        self.ratio.median() >= self.goal
    }

    /// Those that the run has figures for.
    pub fn all(score: &Score) -> Vec<Target> {
        let mut targets = Vec::new();
        for line in score.lines() {
            let cell = line.cell;
            match (line.contender, cell.load) {
                (Contender::Hand, Load::OwnKeys) if [1, 16].contains(&cell.clients) => {
                    targets.extend(beside(score, &line, Contender::Volguard, 0.9));
                    targets.extend(beside(score, &line, Contender::Relaxed, 1.3));
                }
                (Contender::Etcd, Load::OwnKeys) => {
                    targets.extend(beside(score, &line, Contender::Volguard, 2.5));
                }
                (Contender::Etcd, Load::HotKey) => {
                    targets.extend(beside(score, &line, Contender::Volguard, 5.0));
                }
                (Contender::Redis, Load::OwnKeys) if cell.clients == 1 => {
                    targets.extend(beside(score, &line, Contender::Volguard, 1.0));
                }
                (Contender::Volguard, Load::HotKey) => {
                    targets.extend(beside_one_client(score, &line));
                }
                _ => {}
            }
        }
        targets.extend(flatness(score));
        targets
    }
}

fn beside(score: &Score, rival: &Line<'_>, ours: Contender, goal: f64) -> Option<Target> {
    let ours = score.line(rival.cell, ours)?;
    let (contender, other) = (ours.contender.name(), rival.contender.name());
    Some(Target {
        what: format!("{}: {contender} / {other}", rival.cell),
        goal,
        ratio: rival.times(&ours),
        by_hand: limit(score, rival, ours.contender),
    })
}

/// By hand nobody waits in line: of the hot key it is no limit.
fn limit(score: &Score, rival: &Line<'_>, ours: Contender) -> Option<Rounds> {
    let limit = match (ours, rival.cell.load) {
        (_, Load::HotKey) => return None,
        (Contender::Relaxed, _) => Contender::HandRelaxed,
        _ => Contender::Hand,
    };
    let limit = score.line(rival.cell, limit)?;
    (limit.contender != rival.contender).then(|| rival.times(&limit))
}

/// One client alone waits for the disk twice a pair, and nobody waits for him: a hot key that keeps up with that changes hands well.
fn beside_one_client(score: &Score, hot: &Line<'_>) -> Option<Target> {
    let alone = Cell {
        load: Load::OwnKeys,
        clients: 1,
    };
    let alone = score.line(alone, Contender::Volguard)?;
    Some(Target {
        what: format!("{}: volguard / its own pairs with one client", hot.cell),
        goal: 0.8,
        ratio: alone.times(hot),
        by_hand: None,
    })
}

/// More in line is not to mean fewer served.
fn flatness(score: &Score) -> Option<Target> {
    let hot = |line: &Line<'_>| {
        line.contender == Contender::Volguard
            && line.cell.load == Load::HotKey
            && line.cell.clients >= 4
    };
    let lines: Vec<Line<'_>> = score.lines().filter(hot).collect();
    let (fewest, most) = (lines.first()?, lines.last()?);
    if fewest.cell.clients == most.cell.clients {
        return None;
    }
    let median = |line: &Line<'_>| Rounds::new(line.pairs_per_second()).median();
    let slowest = lines
        .iter()
        .min_by(|a, b| median(a).total_cmp(&median(b)))?;
    let fastest = lines
        .iter()
        .max_by(|a, b| median(a).total_cmp(&median(b)))?;
    Some(Target {
        what: format!(
            "one hot key, {} to {} clients: slowest / fastest",
            fewest.cell.clients, most.cell.clients
        ),
        goal: 0.8,
        ratio: fastest.times(slowest),
        by_hand: None,
    })
}
