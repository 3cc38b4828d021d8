//! Cycle navigation: where on a cycle of five places a walk ends that begins at place 0 and stays (`0`), goes on (`+`) or back (`-`) at each step.
//!
//! Working: the place after each step, `+0-+|1101>1`.

use super::draws::{Draws, Own};
use super::solution::{Solution, digit};

/// Places on the cycle.
const PLACES: usize = 5;

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    draws.symbols(b"0+-", length)
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let mut place = 0;
    Solution::of_states(question.iter().map(|&step| {
        place = match step {
            b'+' => place + 1,
            b'-' => place + PLACES - 1,
            _ => place,
        } % PLACES;
        [digit(place)]
    }))
}
