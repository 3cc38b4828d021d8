//! Stack manipulation: what a stack of zeros and ones holds, from its top, after `a` (push 0), `b` (push 1) and `-` (pop, which an empty stack ignores):
//! `011b--|10.`. The question begins with the stack from its bottom; `.` ends the answer.
//!
//! Working: the stack after each action, from its top, `011b--|1110,110,10>10.`.

use super::draws::{Draws, Own};
use super::solution::{COMMA, END, Solution};

pub(super) fn question(length: usize, _: Own, draws: &mut Draws) -> Vec<u8> {
    let held = if length == 1 { 1 } else { 1 + draws.below(length - 1) };
    let mut question = draws.symbols(b"01", held);
    question.extend(draws.symbols(b"ab-", length - held));
    question
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let (mut stack, mut working) = (Vec::new(), Vec::new());
    for &symbol in question {
        match symbol {
            b'a' => stack.push(b'0'),
            b'b' => stack.push(b'1'),
            b'-' => {
                stack.pop();
            }
            held => {
                stack.push(held);
                continue;
            }
        }
        working.extend(stack.iter().rev());
        working.push(COMMA);
    }
    working.pop();
    stack.reverse();
    stack.push(END);
    Solution { working, answer: stack }
}
