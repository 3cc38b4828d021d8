//! Fuzzy recall (arXiv 2403.17844): associative recall where keys and values take one to three symbols, so that one is recognised by all of its symbols:
//! `ab31c7da402?c|7.`. The length counts pairs; keys are letters of a small alphabet, values digits; `.` ends the answer.
//!
//! Working: the pair that is asked for, `ab31c7da402?c|c7>7.`.

use super::draws::{Draws, Own, SYMBOLS};
use super::solution::{END, Solution};

/// Stands before the key that is asked for.
const ASK: u8 = b'?';
/// Symbols of a key or a value, at most.
const LONGEST: usize = 3;

pub(super) fn question(pairs: usize, [symbols, _]: Own, draws: &mut Draws) -> Vec<u8> {
    let mut keys: Vec<Vec<u8>> = Vec::with_capacity(pairs);
    let mut question = Vec::new();
    while keys.len() < pairs {
        let length = 1 + draws.below(LONGEST);
        let key = draws.symbols(&SYMBOLS[..symbols], length);
        if keys.contains(&key) {
            continue;
        }
        question.extend(&key);
        let length = 1 + draws.below(LONGEST);
        question.extend(draws.symbols(b"0123456789", length));
        keys.push(key);
    }
    question.push(ASK);
    question.extend(&keys[draws.below(pairs)]);
    question
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let at = question.iter().position(|&symbol| symbol == ASK).unwrap_or(question.len());
    let asked = question.get(at + 1..).unwrap_or(&[]);
    let mut runs = question[..at].chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let mut answer = Vec::new();
    while let (Some(key), Some(value)) = (runs.next(), runs.next()) {
        if key == asked {
            answer = value.to_vec();
        }
    }
    let working = [asked, &answer].concat();
    answer.push(END);
    Solution { working, answer }
}
