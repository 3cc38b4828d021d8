//! Square root: that of a number above 0, rounded down, both written from the highest digit on: `100101|110` (37, 6). The root of a number of n digits
//! has half as many, rounded up.
//!
//! Working: digit by digit, the root so far and what remains of the number so far: `100101|1:1,11:0,110:1>110`.

use super::bits;
use super::draws::{Draws, Own};
use super::solution::{COMMA, Solution};

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    bits::positive(length, draws)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let padding = (!question.len().is_multiple_of(2)).then_some(b'0');
    let digits: Vec<u8> = padding.into_iter().chain(question.iter().copied()).collect();
    // Both from the lowest digit on.
    let (mut root, mut rest) = (Vec::new(), vec![b'0']);
    let mut working = Vec::new();
    for pair in digits.chunks_exact(2) {
        let brought: Vec<u8> = [pair[1], pair[0]].into_iter().chain(rest.iter().copied()).collect();
        // (2 root + 1)^2 - (2 root)^2 = 4 root + 1
        let step: Vec<u8> = [b'1', b'0'].into_iter().chain(root.iter().copied()).collect();
        let taken = bits::difference(&brought, &step);
        root.insert(0, if taken.is_some() { b'1' } else { b'0' });
        rest = bits::trimmed(&taken.unwrap_or(brought)).to_vec();
        working.extend(root.iter().rev());
        working.push(b':');
        working.extend(rest.iter().rev());
        working.push(COMMA);
    }
    working.pop();
    root.reverse();
    Solution { working, answer: root }
}
