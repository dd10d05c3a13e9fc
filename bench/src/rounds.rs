//! The figures of several rounds.

use std::fmt;
use std::time::Duration;

/// The number of turns of each contender, and their length.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub rounds: usize,
    pub turn: Duration,
}

/// One figure for each round, at least one.
#[derive(Debug, Clone)]
pub struct Rounds(pub Vec<f64>);

impl Rounds {
    /// The ratio in each round, which drifts less than the two figures.
    pub fn over(&self, other: &Rounds) -> Rounds {
        let both = self.0.iter().zip(&other.0);
        Rounds(both.map(|(over, under)| over / under).collect())
    }

    /// The lowest, the median, the highest.
    pub fn spread(&self) -> [f64; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (last, half) = (sorted.len() - 1, sorted.len() / 2);
        let median = f64::midpoint(sorted[last - half], sorted[half]);
        [sorted[0], median, sorted[last]]
    }

    pub fn median(&self) -> f64 {
        self.spread()[1]
    }
}

/// `median (lowest-highest)`.
impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, median, high] = self.spread();
        let digits = if median < 100.0 { 2 } else { 0 };
        write!(f, "{median:.digits$} ({low:.digits$}-{high:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Rounds(vec![3.0, 1.0, 2.0]).spread(), [1.0, 2.0, 3.0]);
        assert_eq!(Rounds(vec![4.0, 1.0, 2.0, 3.0]).spread(), [1.0, 2.5, 4.0]);
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        let ratio = Rounds(vec![2.0, 30.0]).over(&Rounds(vec![1.0, 10.0]));
        assert_eq!(ratio.to_string(), "2.50 (2.00-3.00)");
    }
}
