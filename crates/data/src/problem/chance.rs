//! What guessing is worth.

use std::collections::BTreeMap;

use super::Problem;

/// Questions by which it is chosen what to guess, and as many again on which the guess is tried.
const QUESTIONS: u64 = 8192;
/// Other questions than those of any run.
const SEED: u64 = 0x6368_616e_6365;

impl Problem {
    /// The share of the answer's symbols that the best guess gets right which knows the length of the question, but not the question: at each place
    /// the symbol that stands there most often. What to guess is chosen by some questions and tried on others, so that the share is not too high.
    pub fn chance(&self, length: u64) -> f64 {
        let mut places: Vec<BTreeMap<u8, [u64; 2]>> = Vec::new();
        for index in 0..2 * QUESTIONS {
            let worked = self.worked_of(length, SEED, index);
            for (place, at) in worked.answer().enumerate() {
                if places.len() == place {
                    places.push(BTreeMap::new());
                }
                places[place].entry(worked.text[at]).or_default()[(index % 2) as usize] += 1;
            }
        }
        let guessed = |counts: &BTreeMap<u8, [u64; 2]>| {
            let best = counts.values().max_by_key(|[seen, _]| *seen);
            best.map_or(0, |[_, right]| *right)
        };
        let right: u64 = places.iter().map(guessed).sum();
        let all: u64 = places.iter().flat_map(BTreeMap::values).map(|[_, tried]| tried).sum();
        right as f64 / all.max(1) as f64
    }
}
