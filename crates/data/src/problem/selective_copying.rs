//! Selective copying (arXiv 2312.00752): the letters of a string, in order, without the blanks between them: `_a__cb_|acb`. There are always as many
//! letters, unless the string is shorter.
//!
//! Working: the letters so far after each of them, `_a__cb_|a,ac,acb>acb`.

use super::draws::{Draws, Own, SYMBOLS};
use super::solution::Solution;

/// What is left out.
const BLANK: u8 = b'_';

pub(super) fn question(length: usize, [letters, symbols]: Own, draws: &mut Draws) -> Vec<u8> {
    let mut question = vec![BLANK; length];
    for at in draws.different(letters.min(length), length) {
        question[at] = draws.symbol(&SYMBOLS[..symbols]);
    }
    question
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let letters: Vec<u8> = question.iter().copied().filter(|&symbol| symbol != BLANK).collect();
    Solution::of_listed_states((1..=letters.len()).map(|end| &letters[..end]))
}
