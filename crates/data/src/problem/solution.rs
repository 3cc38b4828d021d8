//! What follows a question.

/// Between a question and what follows it.
pub(super) const SEPARATOR: u8 = b'|';
/// Between the states that a working writes out, where they have no fixed length.
pub(super) const COMMA: u8 = b',';
/// Ends answers whose length the question does not tell; scored like the rest of the answer.
pub(super) const END: u8 = b'.';

/// The answer to a question, and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Solution {
    /// The running state, written out.
    pub(super) working: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

impl Solution {
    /// A machine that reads the question symbol by symbol: its working is the state after each of them, its answer the last.
    pub(super) fn of_states<S: AsRef<[u8]>>(states: impl IntoIterator<Item = S>) -> Self {
        let (mut working, mut answer) = (Vec::new(), Vec::new());
        for state in states {
            working.extend_from_slice(state.as_ref());
            answer = state.as_ref().to_vec();
        }
        Self { working, answer }
    }

    /// The same where states have different lengths.
    pub(super) fn of_listed_states<S: AsRef<[u8]>>(states: impl IntoIterator<Item = S>) -> Self {
        let (mut working, mut answer) = (Vec::new(), Vec::new());
        for state in states {
            if !working.is_empty() {
                working.push(COMMA);
            }
            working.extend_from_slice(state.as_ref());
            answer = state.as_ref().to_vec();
        }
        Self { working, answer }
    }
}

/// The digit of a number below 10.
pub(super) fn digit(number: usize) -> u8 {
    b'0' + number as u8
}

/// The number of a digit.
pub(super) fn number(digit: u8) -> usize {
    usize::from(digit.wrapping_sub(b'0'))
}
