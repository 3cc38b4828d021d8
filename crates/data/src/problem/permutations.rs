//! The word problem of the symmetric groups S3 and S5: how 3 or 5 things that begin in order lie after a sequence of moves. `s` swaps the first two, `r`
//! takes the first to the end; the two generate the group. In S3: `srr|321`.
//!
//! S3 is solvable, S5 is not, so that its word problem is complete for NC1 (Barrington 1989; arXiv 2404.08819 asks it of language models).
//!
//! Working: how they lie after each move, `srr|213132321>321`.

use super::draws::{Draws, Own};
use super::solution::Solution;

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    draws.symbols(b"sr", length)
}

/// Of `THINGS` things.
pub(super) fn solve<const THINGS: usize>(question: &[u8]) -> Solution {
    let mut lie: [u8; THINGS] = std::array::from_fn(|thing| b'1' + thing as u8);
    Solution::of_states(question.iter().map(|&step| {
        match step {
            b's' => lie.swap(0, 1),
            _ => lie.rotate_left(1),
        }
        lie
    }))
}
