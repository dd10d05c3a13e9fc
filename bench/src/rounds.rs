//! Figures of several rounds.

use std::time::Duration;

/// How often everybody takes a turn, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub rounds: usize,
    pub turn: Duration,
}

/// One figure a round.
#[derive(Debug, Clone)]
pub struct Rounds {
    sorted: Vec<f64>,
}

impl Rounds {
    /// Of one round at least.
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Rounds {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Rounds { sorted }
    }

    /// The ratio in each round, which drifts less than the two figures.
    pub fn ratio(
        over: impl IntoIterator<Item = f64>,
        under: impl IntoIterator<Item = f64>,
    ) -> Rounds {
        let both = over.into_iter().zip(under);
        Rounds::new(both.map(|(over, under)| over / under))
    }

    pub fn median(&self) -> f64 {
        let half = self.sorted.len() / 2;
        match self.sorted.len() % 2 {
            0 => f64::midpoint(self.sorted[half - 1], self.sorted[half]),
            _ => self.sorted[half],
        }
    }

    pub fn lowest(&self) -> f64 {
        self.sorted[0]
    }

    pub fn highest(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// `median (lowest-highest)`.
    pub fn spread(&self, digits: usize) -> String {
        let (median, low, high) = (self.median(), self.lowest(), self.highest());
        format!("{median:.digits$} ({low:.digits$}-{high:.digits$})")
    }
}

/// The order of a round's turns. Another begins in each round, and the direction changes, so that nobody always
/// follows the same one.
pub fn order<T: Copy>(all: &[T], round: usize) -> Vec<T> {
    let mut order = all.to_vec();
    order.rotate_left(round % all.len());
    if round % 2 == 1 {
        order[1..].reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Rounds::new([3.0, 1.0, 2.0]).spread(1), "2.0 (1.0-3.0)");
        assert_eq!(Rounds::new([4.0, 1.0, 2.0, 3.0]).spread(1), "2.5 (1.0-4.0)");
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        assert_eq!(Rounds::ratio([2.0, 30.0], [1.0, 10.0]).spread(0), "2 (2-3)");
    }

    #[test]
    fn each_begins_once_and_the_direction_changes() {
        let orders: Vec<Vec<u8>> = (0..4).map(|round| order(&[0, 1, 2, 3], round)).collect();
        assert_eq!(
            orders,
            [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
        );
    }
}
