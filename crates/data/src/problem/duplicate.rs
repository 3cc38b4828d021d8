//! Duplicate: a string twice, `abb|abbabb`.
//!
//! Working: the string, as it is known when it has been read, `abb|abb>abbabb`.

use super::solution::Solution;

pub(super) fn solve(question: &[u8]) -> Solution {
    Solution { working: question.to_vec(), answer: question.repeat(2) }
}
