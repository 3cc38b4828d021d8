//! Induction heads (arXiv 2212.14052, 2312.00752): the letter that stood after the only `*` of a string is to be told after the next `*`: `ab*dca*d`.
//!
//! Working: the star with its letter, `ab*dca**d>d`.

use super::draws::{Draws, Own, SYMBOLS};
use super::solution::Solution;

/// Asks for what followed it before.
pub(super) const STAR: u8 = b'*';

pub(super) fn question(length: usize, [symbols, _]: Own, draws: &mut Draws) -> Vec<u8> {
    let mut question = draws.symbols(&SYMBOLS[..symbols], length);
    question[draws.below(length - 1)] = STAR;
    question
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let followed = question.iter().skip_while(|&&symbol| symbol != STAR).nth(1);
    let answer: Vec<u8> = followed.copied().into_iter().collect();
    Solution { working: [&[STAR], &answer[..]].concat(), answer }
}
