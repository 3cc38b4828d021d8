//! Multi-query associative recall (MQAR, arXiv 2312.04927): pairs of a key and a value, then the keys again in another order, each followed by its value,
//! which alone is scored: `a3b7c1|b7a3c1`. The length counts pairs; keys are letters, values digits, and dots may stand before the `|`.
//!
//! With a working the keys are asked for at once, and each is looked up before the values are told: `a3b7c1|bac|b7a3c1>731`.

use super::draws::{Draws, Own, SYMBOLS};
use super::solution::{SEPARATOR, Solution};

/// Letters, the first of the symbols.
pub(super) const KEYS: usize = 52;
/// Stands between the pairs and the queries.
const FILLER: u8 = b'.';

/// Pairs, a gap, and the keys in the order in which they are asked for.
pub(super) fn question(pairs: usize, [values, gap]: Own, draws: &mut Draws) -> Vec<u8> {
    let keys = draws.different(pairs, KEYS);
    let order = draws.different(pairs, pairs);
    let mut question: Vec<u8> =
        keys.iter().flat_map(|&key| [SYMBOLS[key], SYMBOLS[KEYS + draws.below(values)]]).collect();
    question.resize(question.len() + gap, FILLER);
    question.push(SEPARATOR);
    question.extend(order.into_iter().map(|asked| SYMBOLS[keys[asked]]));
    question
}

pub(super) fn solve(question: &[u8]) -> Solution {
    let at = question.iter().position(|&symbol| symbol == SEPARATOR).unwrap_or(question.len());
    let (pairs, queries) = question.split_at(at);
    let value = |key: u8| pairs.chunks_exact(2).find(|pair| pair[0] == key).map(|pair| pair[1]);
    let (mut working, mut answer) = (Vec::new(), Vec::new());
    for (key, value) in queries.iter().skip(1).filter_map(|&key| Some((key, value(key)?))) {
        working.extend([key, value]);
        answer.push(value);
    }
    Solution { working, answer }
}
