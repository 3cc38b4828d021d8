//! Modular arithmetic with brackets: the value modulo 5 of an expression such as `((2-4)+(-3))`, over sums and differences.
//!
//! Working: the value of each bracket, in the order in which they close: `((2-4)+(-3))|320>0`.

use super::draws::{Draws, Own};
use super::modular_arithmetic::{DIGITS, MODULUS};
use super::solution::{Solution, digit, number};

/// The number that an equation does not tell.
pub(super) const UNKNOWN: u8 = b'x';

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    let mut expression = Vec::with_capacity(length);
    write(length, draws, &mut expression);
    expression
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let mut working = Vec::new();
    let value = evaluate(question, &mut |closed| working.push(digit(closed.constant)));
    Solution { working, answer: vec![digit(value.constant)] }
}

/// Writes `d`, `-d`, `(d)`, `(-d)`, or `(left+right)` or `(left-right)` with a random split, by the length that it is to have.
fn write(length: usize, draws: &mut Draws, expression: &mut Vec<u8>) {
    if length < 5 {
        let number = draws.symbol(DIGITS);
        match length {
            1 => expression.push(number),
            2 => expression.extend([b'-', number]),
            3 => expression.extend([b'(', number, b')']),
            _ => expression.extend([b'(', b'-', number, b')']),
        }
        return;
    }
    let left = 1 + draws.below(length - 4);
    expression.push(b'(');
    write(left, draws, expression);
    expression.push(draws.symbol(b"+-"));
    write(length - 3 - left, draws, expression);
    expression.push(b')');
}

/// `constant + coefficient x`, modulo 5.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Linear {
    pub(super) constant: usize,
    pub(super) coefficient: usize,
}

impl Linear {
    /// The sum with `other`, or with its opposite.
    fn plus(self, sign: Sign, other: Self) -> Self {
        let sum = |own: usize, other: usize| match sign {
            Sign::Plus => (own + other) % MODULUS,
            Sign::Minus => (own + MODULUS - other) % MODULUS,
        };
        Self { constant: sum(self.constant, other.constant), coefficient: sum(self.coefficient, other.coefficient) }
    }
}

#[derive(Debug, Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

/// The value of an expression. `closed` is shown that of each bracket when it closes.
pub(super) fn evaluate(expression: &[u8], closed: &mut dyn FnMut(Linear)) -> Linear {
    let mut outer = Vec::new();
    let (mut sum, mut sign) = (Linear::default(), Sign::Plus);
    for &symbol in expression {
        let operand = match symbol {
            b'(' => {
                outer.push((sum, sign));
                (sum, sign) = (Linear::default(), Sign::Plus);
                continue;
            }
            b'+' => continue,
            b'-' => {
                sign = match sign {
                    Sign::Plus => Sign::Minus,
                    Sign::Minus => Sign::Plus,
                };
                continue;
            }
            b')' => {
                let value = sum;
                closed(value);
                (sum, sign) = outer.pop().unwrap_or((Linear::default(), Sign::Plus));
                value
            }
            UNKNOWN => Linear { constant: 0, coefficient: 1 },
            digit => Linear { constant: number(digit), coefficient: 0 },
        };
        sum = sum.plus(sign, operand);
        sign = Sign::Plus;
    }
    sum
}
