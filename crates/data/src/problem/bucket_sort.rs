//! Bucket sort: digits in ascending order, `31013|01133`.
//!
//! Working: each digit with how many of it there have been, `31013|31,11,01,12,32>01133`.

use super::draws::{Draws, Own};
use super::solution::{COMMA, Solution, number};

pub(super) fn question(length: usize, [symbols, _]: Own, draws: &mut Draws) -> Vec<u8> {
    draws.symbols(&b"0123456789"[..symbols], length)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (mut buckets, mut working) = ([0_usize; 10], Vec::new());
    for &symbol in question {
        let bucket = &mut buckets[number(symbol)];
        *bucket += 1;
        working.push(symbol);
        working.extend_from_slice(bucket.to_string().as_bytes());
        working.push(COMMA);
    }
    working.pop();
    let answer = (b'0'..).zip(buckets).flat_map(|(symbol, count)| std::iter::repeat_n(symbol, count));
    Solution { working, answer: answer.collect() }
}
