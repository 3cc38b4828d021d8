//! Tasks whose answers are known: copying, straight and reversed, and associative recall.
//!
//! ```text
//! copy     abca|abca          reverse  abca|acba
//! recall   a3b7c1|b7a3c1      with a gap of 4: a3b7c1....|b7a3c1
//! ```
//!
//! Recall is MQAR ("multi-query associative recall", arXiv 2312.04927): pairs of a key and a value, then the keys again in another
//! order, each to be followed by its value. Keys are different letters, values are digits.

use percept_random::Permutation;

use crate::problem::SYMBOLS;

/// The first symbols are keys of recall, the others its values.
const KEYS: usize = 52;
/// Between what is to be remembered and where it is asked for.
const SEPARATOR: u8 = b'|';
/// Fills the gap of recall.
const FILLER: u8 = b'.';

/// A task, and its size.
///
/// ```
/// use percept_data::Task;
/// let task = Task::Recall { pairs: 3, values: 4, gap: 5 };
/// let exercise = task.exercise(1, 0);
/// assert_eq!(exercise.text.len(), task.size());
/// // Each answer repeats the value that stood behind its key.
/// for answer in &exercise.answers {
///     assert_eq!(exercise.text[answer.at], exercise.text[answer.source]);
///     assert!(answer.at >= exercise.scored_from && answer.distance() > 5);
/// }
/// // Who guesses is right once in four.
/// assert_eq!(task.candidates().len(), 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Repeat `length` symbols, drawn from `symbols` different ones (at most 62).
    Copy {
        /// Symbols to copy.
        length: u64,
        /// Size of the alphabet.
        symbols: u64,
    },
    /// The same backwards.
    Reverse {
        /// Symbols to copy.
        length: u64,
        /// Size of the alphabet.
        symbols: u64,
    },
    /// Remember `pairs` (at most 52) keys with their values, drawn from `values` (at most 10) different ones.
    Recall {
        /// Keys.
        pairs: u64,
        /// Different values.
        values: u64,
        /// Filler between the pairs and the queries.
        gap: u64,
    },
}

/// A document of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exercise {
    /// Its text, ASCII.
    pub text: Vec<u8>,
    /// Bytes before it are context only.
    pub scored_from: usize,
    /// Where what is known to be right stands, in order.
    pub answers: Vec<Answer>,
}

/// A byte that follows from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its index.
    pub at: usize,
    /// Index of the byte that it repeats.
    pub source: usize,
}

impl Answer {
    /// Tokens (bytes) from the source to the one after which the answer is given.
    pub fn distance(&self) -> usize {
        self.at - 1 - self.source
    }
}

impl Task {
    /// The bytes that an answer can be: guessing is right once in so many.
    pub fn candidates(&self) -> &'static [u8] {
        match *self {
            Self::Copy { symbols, .. } | Self::Reverse { symbols, .. } => &SYMBOLS[..symbols as usize],
            Self::Recall { values, .. } => &SYMBOLS[KEYS..KEYS + values as usize],
        }
    }

    /// Bytes of its documents.
    pub fn size(&self) -> usize {
        (match *self {
            Self::Copy { length, .. } | Self::Reverse { length, .. } => 2 * length + 1,
            Self::Recall { pairs, gap, .. } => 4 * pairs + gap + 1,
        }) as usize
    }

    /// Document `index` of the sequence that `seed` stands for.
    pub fn exercise(&self, seed: u64, index: u64) -> Exercise {
        match *self {
            Self::Copy { length, symbols } => copy(&drawn(length, symbols, seed, index), |i| i),
            Self::Reverse { length, symbols } => {
                copy(&drawn(length, symbols, seed, index), |i| length as usize - 1 - i)
            }
            Self::Recall { pairs, values, gap } => recall(pairs, values, gap as usize, &[seed, index]),
        }
    }
}

fn drawn(length: u64, symbols: u64, seed: u64, index: u64) -> Vec<u8> {
    (0..length).map(|i| SYMBOLS[percept_random::below(symbols, &[seed, index, i]) as usize]).collect()
}

/// `first`, and what `source` makes of it.
fn copy(first: &[u8], source: impl Fn(usize) -> usize) -> Exercise {
    let mut text = first.to_vec();
    text.push(SEPARATOR);
    let scored_from = text.len();
    text.extend((0..first.len()).map(|i| first[source(i)]));
    let answers = (0..first.len()).map(|i| Answer { at: scored_from + i, source: source(i) }).collect();
    Exercise { text, scored_from, answers }
}

fn recall(pairs: u64, values: u64, gap: usize, key: &[u64; 2]) -> Exercise {
    let [seed, index] = *key;
    let keys = Permutation::new(KEYS as u64, &[seed, index, 0]);
    let order = Permutation::new(pairs, &[seed, index, 1]);
    let pair = |i: u64| {
        let value = KEYS + percept_random::below(values, &[seed, index, 2, i]) as usize;
        [SYMBOLS[keys.apply(i) as usize], SYMBOLS[value]]
    };
    let mut text: Vec<u8> = (0..pairs).flat_map(pair).collect();
    text.resize(text.len() + gap, FILLER);
    text.push(SEPARATOR);
    let scored_from = text.len();
    let mut answers = Vec::with_capacity(pairs as usize);
    for asked in (0..pairs).map(|i| order.apply(i)) {
        text.extend(pair(asked));
        answers.push(Answer { at: text.len() - 1, source: 2 * asked as usize + 1 });
    }
    Exercise { text, scored_from, answers }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tasks() -> impl Strategy<Value = Task> {
        prop_oneof![
            (1_u64..40, 1_u64..=62).prop_map(|(length, symbols)| Task::Copy { length, symbols }),
            (1_u64..40, 1_u64..=62).prop_map(|(length, symbols)| Task::Reverse { length, symbols }),
            (1_u64..=52, 1_u64..=10, 0_u64..30).prop_map(|(pairs, values, gap)| Task::Recall { pairs, values, gap }),
        ]
    }

    proptest! {
        #[test]
        fn answers_repeat_their_sources(task in tasks(), seed: u64, index: u64) {
            let Exercise { text, scored_from, answers } = task.exercise(seed, index);
            prop_assert_eq!(text.len(), task.size());
            prop_assert_eq!(text[scored_from - 1], b'|');
            for answer in &answers {
                prop_assert!(answer.source < scored_from && scored_from <= answer.at);
                prop_assert_eq!(text[answer.at], text[answer.source]);
                prop_assert!(task.candidates().contains(&text[answer.at]));
            }
            let size = match task {
                Task::Copy { length, .. } | Task::Reverse { length, .. } => length,
                Task::Recall { pairs, .. } => pairs,
            };
            let mut sources: Vec<_> = answers.iter().map(|answer| answer.source).collect();
            sources.sort_unstable();
            sources.dedup();
            prop_assert_eq!((answers.len() as u64, sources.len() as u64), (size, size));
        }

        #[test]
        fn recall_asks_for_the_value_of_a_key_that_stands_once(pairs in 1_u64..=52, gap in 0_u64..9, index: u64) {
            let Exercise { text, scored_from, answers } = Task::Recall { pairs, values: 10, gap }.exercise(1, index);
            for answer in answers {
                let asked = text[answer.at - 1];
                let places: Vec<_> = (0..scored_from).filter(|&at| text[at] == asked).collect();
                prop_assert_eq!(places, [answer.source - 1]);
                prop_assert!(answer.distance() > gap as usize);
            }
        }
    }

    #[test]
    fn distances_are_those_of_the_text() {
        let distances =
            |task: Task| -> Vec<usize> { task.exercise(0, 0).answers.iter().map(Answer::distance).collect() };
        assert_eq!(distances(Task::Copy { length: 4, symbols: 9 }), [4, 4, 4, 4]);
        assert_eq!(distances(Task::Reverse { length: 4, symbols: 9 }), [1, 3, 5, 7]);
        assert_eq!(distances(Task::Recall { pairs: 1, values: 9, gap: 3 }), [5]);
    }

    #[test]
    fn the_order_of_queries_and_the_values_are_drawn() {
        let task = Task::Recall { pairs: 8, values: 10, gap: 0 };
        let differ = |a: u64, b: u64| {
            let of = |index| {
                let Exercise { text, answers, .. } = task.exercise(0, index);
                let order: Vec<_> = answers.iter().map(|answer| answer.source).collect();
                (order, text[..16].iter().copied().step_by(2).collect::<Vec<_>>(), text[1..16].to_vec())
            };
            let (a, b) = (of(a), of(b));
            a.0 != b.0 && a.1 != b.1 && a.2 != b.2
        };
        assert!(differ(0, 1) && differ(1, 2));
        assert_eq!(task.exercise(5, 6), task.exercise(5, 6));
    }
}
