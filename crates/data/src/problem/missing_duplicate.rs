//! Missing duplicate: the symbol that is missing where a binary string stands twice: `0110?110|0`. Lengths are even.
//!
//! Working: each symbol beside its double, `0110?110|0?111100>0`.

use super::draws::{Draws, Own};
use super::solution::Solution;

/// Stands where the symbol is missing.
const HOLE: u8 = b'?';

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    let mut question = draws.symbols(b"01", length / 2).repeat(2);
    let hole = draws.below(question.len());
    question[hole] = HOLE;
    question
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (first, second) = question.split_at(question.len() / 2);
    let pairs = || first.iter().zip(second).map(|(&first, &second)| [first, second]);
    let answer = pairs().filter_map(|pair| match pair {
        [HOLE, known] | [known, HOLE] => Some(known),
        _ => None,
    });
    Solution { working: pairs().flatten().collect(), answer: answer.collect() }
}
