//! Rounds: every contender takes one turn in each cell of each round.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::score::{Cell, Line, Score};
use crate::turn::Turn;

/// A contender, and what it uses in its turns.
#[derive(Debug)]
pub struct Contender<T> {
    pub name: String,
    pub team: T,
}

impl<T> Contender<T> {
    pub fn new(name: impl Into<String>, team: T) -> Contender<T> {
        let name = name.into();
        Contender { name, team }
    }
}

/// Plays the rounds of the score's pace. The figures of a cell have the
/// order of the contenders; the others are compared with the first.
pub async fn play<T>(
    score: &mut Score,
    cells: &[Cell],
    contenders: &mut [Contender<T>],
    mut take_turn: impl AsyncFnMut(&mut T, &Cell, Duration) -> Result<Turn>,
) -> Result<()> {
    let (pace, first) = (score.pace, score.lines.len());
    for cell in cells {
        let names = contenders.iter().map(|contender| &contender.name);
        score.lines.extend(names.map(|name| Line::new(cell, name)));
    }
    // The round before the first is short and not counted: caches and plans are cold.
    for round in 0..=pace.rounds {
        eprintln!("{}: round {round} of {}", score.part, pace.rounds);
        let time = if round == 0 { pace.turn / 4 } else { pace.turn };
        for (row, cell) in cells.iter().enumerate() {
            for at in order(contenders.len(), round) {
                let Contender { name, team } = &mut contenders[at];
                let turn = take_turn(team, cell, time).await;
                let turn = turn.with_context(|| format!("{cell}: {name}"))?;
                if round > 0 {
                    let line = first + row * contenders.len() + at;
                    score.lines[line].turns.push(turn);
                }
            }
        }
    }
    Ok(())
}

/// The order of a round's turns. Another contender begins in each round, and
/// the direction changes, so that no contender always follows the same one.
fn order(contenders: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contenders).collect();
    order.rotate_left(round % contenders);
    if round % 2 == 1 {
        order[1..].reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_begins_once_and_the_direction_changes() {
        let orders: Vec<Vec<usize>> = (0..4).map(|round| order(4, round)).collect();
        assert_eq!(orders, [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]);
    }
}
