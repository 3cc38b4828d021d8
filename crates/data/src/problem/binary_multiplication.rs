//! Binary multiplication: the product of two numbers above 0, all written from the lowest digit on: `11*101|1111.` (3 * 5 = 15); `.` ends the answer.
//!
//! Working: the sum so far after each digit of the second number, `11*101|11,11,1111>1111.`.

use super::binary_addition::{sides, two_numbers};
use super::bits;
use super::draws::{Draws, Own};
use super::solution::{END, Solution};

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    two_numbers(length, b'*', draws)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (first, second) = sides(question, b'*');
    let (mut product, mut shifted) = (vec![b'0'], first.to_vec());
    let mut solution = Solution::of_listed_states(second.iter().map(|&digit| {
        if digit == b'1' {
            product = bits::trimmed(&bits::sum(&product, &shifted, &mut |_, _| ())).to_vec();
        }
        shifted.insert(0, b'0');
        product.clone()
    }));
    solution.answer.push(END);
    solution
}
