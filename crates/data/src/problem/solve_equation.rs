//! Solve equation: the number from 0 to 4 for which `(3-(x+1))=4` holds modulo 5: an expression with brackets and one unknown. There is one, since
//! the unknown stands there once and nothing is multiplied.
//!
//! Working: each bracket as it closes, its constant and the coefficient of x: `(3-(x+1))=4|1124>3`.

use super::brackets::{UNKNOWN, evaluate, question as expression};
use super::draws::{Draws, Own};
use super::modular_arithmetic::MODULUS;
use super::solution::{Solution, digit, number};

pub(super) fn question(length: usize, own: Own, draws: &mut Draws) -> Vec<u8> {
    let mut equation = expression(length - 2, own, draws);
    let value = evaluate(&equation, &mut |_| ());
    // A place at random, and the next number from there on.
    let start = draws.below(equation.len());
    let places = (start..equation.len()).chain(0..start);
    if let Some(at) = places.into_iter().find(|&at| equation[at].is_ascii_digit()) {
        equation[at] = UNKNOWN;
    }
    equation.extend([b'=', digit(value.constant)]);
    equation
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (expression, value) = question.split_at(question.len() - 2);
    let mut working = Vec::new();
    let left = evaluate(expression, &mut |closed| {
        working.extend([digit(closed.constant), digit(closed.coefficient)]);
    });
    // The coefficient is 1 or -1, its own inverse.
    let answer = (number(value[1]) + MODULUS - left.constant) * left.coefficient % MODULUS;
    Solution { working, answer: vec![digit(answer)] }
}
