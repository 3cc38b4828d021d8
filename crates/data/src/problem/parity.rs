//! Parity: whether the ones of a binary string are odd in number. `0110` has two: `0110|0`.
//!
//! Working: the parity of each prefix, `0110|0100>0`.

use super::draws::{Draws, Own};
use super::solution::{Solution, digit};

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    draws.symbols(b"01", length)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let mut odd = 0;
    Solution::of_states(question.iter().map(|&symbol| {
        odd ^= usize::from(symbol == b'1');
        [digit(odd)]
    }))
}
