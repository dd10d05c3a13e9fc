//! Which section gets how many lines.

/// Shares lines out among sections that have so many rows each, one by one, beginning with the one in focus. What one
/// doesn't need is for the others.
pub(super) fn shares(rows: &[usize], focus: usize, lines: usize) -> Vec<usize> {
    let mut shares = vec![0; rows.len()];
    let mut left = lines;
    while left > 0 {
        let mut gave = false;
        for step in 0..rows.len() {
            let at = (focus + step) % rows.len();
            if left > 0 && shares[at] < rows[at] {
                shares[at] += 1;
                left -= 1;
                gave = true;
            }
        }
        if !gave {
            break;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn what_one_does_not_need_is_for_the_others() {
        assert_eq!(shares(&[1, 0, 9, 9], 2, 8), [1, 0, 4, 3]);
        assert_eq!(shares(&[1, 0, 9, 9], 3, 3), [1, 0, 1, 1]);
        assert_eq!(shares(&[2, 2], 0, 9), [2, 2]);
        assert_eq!(shares(&[], 0, 9), [0; 0]);
    }
}
