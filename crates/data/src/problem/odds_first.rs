//! Odds first: the symbols at odd places (the first, the third, ...), then those at even ones: `aabba|abaab`.
//!
//! Working: each symbol after 1 where its place is odd, 2 where it is even, `aabba|1a2a1b2b1a>abaab`.

use super::solution::Solution;

pub(super) fn solve(question: &[u8]) -> Solution {
    let marked = question.iter().zip(b"12".iter().cycle()).flat_map(|(&symbol, &side)| [side, symbol]);
    let every_second = |from: usize| question.iter().skip(from).step_by(2).copied();
    Solution { working: marked.collect(), answer: every_second(0).chain(every_second(1)).collect() }
}
