//! Modular arithmetic: the value modulo 5 of an expression such as `1+2*3`, in which `*` binds more tightly. Lengths are odd.
//!
//! Working: after each number two digits, the sum of the terms that are finished and the term that is not, with its sign:
//! `1+2*3|011211>2` (1 + 1 = 2).

use super::draws::{Draws, Own};
use super::solution::{Solution, digit, number};

/// Numbers are 0 to 4 here and in the tasks with brackets.
pub(super) const MODULUS: usize = 5;
/// The digits below it.
pub(super) const DIGITS: &[u8; MODULUS] = b"01234";

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    (0..length).map(|at| draws.symbol(if at % 2 == 0 { DIGITS } else { b"+-*" })).collect()
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (mut sum, mut term, mut operation) = (0, 0, b'+');
    let mut working = Vec::new();
    for &symbol in question {
        if !symbol.is_ascii_digit() {
            operation = symbol;
            continue;
        }
        let factor = number(symbol);
        (sum, term) = match operation {
            b'*' => (sum, term * factor % MODULUS),
            b'-' => ((sum + term) % MODULUS, (MODULUS - factor) % MODULUS),
            _ => ((sum + term) % MODULUS, factor),
        };
        working.extend([digit(sum), digit(term)]);
    }
    Solution { working, answer: vec![digit((sum + term) % MODULUS)] }
}
