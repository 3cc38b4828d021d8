//! Reverse: a string backwards, `abca|acba`.
//!
//! Working: a stack that gets symbol after symbol, from its top, `abca|a,ba,cba,acba>acba`; it grows with the square of the length.

use super::draws::{Draws, Own, SYMBOLS};
use super::solution::Solution;

pub(super) fn question(length: usize, [symbols, _]: Own, draws: &mut Draws) -> Vec<u8> {
    draws.symbols(&SYMBOLS[..symbols], length)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let turned = |end: usize| -> Vec<u8> { question[..end].iter().rev().copied().collect() };
    Solution::of_listed_states((1..=question.len()).map(turned))
}
