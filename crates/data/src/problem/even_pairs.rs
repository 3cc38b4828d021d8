//! Even pairs: whether a binary string has an odd number of places where neighbours differ (`01` or `10`): 1 if so, 0 if it is even.
//!
//! That is the same as whether its first and its last symbol differ, which is why it is the easiest of the regular tasks.
//!
//! Working: the parity of the changes in each prefix, `0110|0110>0`.

use super::draws::{Draws, Own};
use super::solution::{Solution, digit};

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    draws.symbols(b"01", length)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (mut odd, mut before) = (0, None);
    Solution::of_states(question.iter().map(|&symbol| {
        odd ^= usize::from(before.replace(symbol).is_some_and(|before| before != symbol));
        [digit(odd)]
    }))
}
