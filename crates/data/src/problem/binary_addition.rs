//! Binary addition: the sum of two numbers above 0, all written from the lowest digit on: `101+11|0001.` (5 + 3 = 8); `.` ends the answer.
//!
//! Working: each digit of the sum with the carry to the next place, `101+11|010101>0001.`.

use super::bits;
use super::draws::{Draws, Own};
use super::solution::{END, Solution};

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    two_numbers(length, b'+', draws)
}

/// Two numbers with a sign between them, which take `length` symbols, at least 3.
pub(super) fn two_numbers(length: usize, sign: u8, draws: &mut Draws) -> Vec<u8> {
    let first = 1 + draws.below(length - 2);
    let mut question = bits::positive(first, draws);
    question.push(sign);
    question.extend(bits::positive(length - 1 - first, draws));
    question
}

/// The numbers on both sides of `sign`.
pub(super) fn sides(question: &[u8], sign: u8) -> (&[u8], &[u8]) {
    let at = question.iter().position(|&symbol| symbol == sign).unwrap_or(question.len());
    (&question[..at], question.get(at + 1..).unwrap_or(&[]))
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (first, second) = sides(question, b'+');
    let mut working = Vec::new();
    let sum = bits::sum(first, second, &mut |digit, carry| working.extend([digit, carry]));
    let mut answer = bits::trimmed(&sum).to_vec();
    answer.push(END);
    Solution { working, answer }
}
