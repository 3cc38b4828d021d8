//! What is told of single tokens: their log-probabilities, and those of others in their place.

/// Of which tokens log-probabilities are told, beside the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    /// Of none.
    #[default]
    Nothing,
    /// Of each that is written.
    Written {
        /// How many of the most probable tokens in its place are told with it.
        alternatives: usize,
    },
    /// Of those of the prompt, too: all that the batch reads ([`crate::Stream::new`]).
    PromptAndWritten {
        /// As above.
        alternatives: usize,
    },
}

impl Told {
    /// Alternatives of a token that is written, where anything is told of it.
    pub(crate) fn written(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Written { alternatives } | Self::PromptAndWritten { alternatives } => Some(alternatives),
        }
    }

    /// Alternatives of a token of the prompt, where anything is told of it.
    pub(crate) fn prompt(self) -> Option<usize> {
        match self {
            Self::PromptAndWritten { alternatives } => Some(alternatives),
            Self::Nothing | Self::Written { .. } => None,
        }
    }
}

/// What a round adds to a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Piece {
    /// What may be shown now. The text of a token may come later than the token itself: what could begin a stop string, or
    /// does not yet form a character, waits.
    pub text: String,
    /// Tokens of which something is told ([`Told`]), in their order.
    pub tokens: Vec<ToldToken>,
}

impl Piece {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tokens.is_empty()
    }
}

/// A token, and what the model gave it: before temperature, bias and penalties.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldToken {
    /// Its id.
    pub token: u32,
    /// ln p given all before it; `None` for the first token of a fresh session, which nothing predicts.
    pub log_probability: Option<f32>,
    /// The most probable tokens in its place and their ln p, the best first (ties: the smaller id first).
    pub alternatives: Vec<(u32, f32)>,
}

impl ToldToken {
    /// `row`: ln p of every token in its place, `[V]`.
    pub(crate) fn new(token: u32, row: Option<&[f32]>, alternatives: usize) -> Self {
        Self {
            token,
            log_probability: row.map(|row| row[token as usize]),
            alternatives: row.map(|row| best(row, alternatives)).unwrap_or_default(),
        }
    }
}

/// The `count` most probable tokens of a row, the best first.
fn best(row: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    for (token, &value) in (0..).zip(row) {
        if best.len() == count && best.last().is_none_or(|last| value <= last.1) {
            continue;
        }
        let at = best.partition_point(|kept| kept.1 >= value);
        best.insert(at, (token, value));
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_ties_in_order() {
        let row = [-3.0, -1.0, -2.0, -1.0, f32::NEG_INFINITY];
        assert_eq!(best(&row, 3), [(1, -1.0), (3, -1.0), (2, -2.0)]);
        assert_eq!((best(&row, 0).len(), best(&row, 9).len()), (0, 5));
    }
}
