//! Sequences with padding, and what is asked of them.

use percept_fault::{Fault, Result};

use super::EncoderConfig;
use crate::batch::check_tokens;

/// Sequences of different lengths, filled up at their ends to `rows` tokens each.
///
/// ```
/// use percept_model::encoder::Sequences;
/// let sequences = Sequences::of(&[&[5, 6, 7], &[8]]);
/// assert_eq!((sequences.tokens, sequences.lengths), (vec![5, 6, 7, 8, 0, 0], vec![3, 1]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequences {
    /// `[B * T]`, row-major; what stands behind the end of a sequence does not matter.
    pub tokens: Vec<u32>,
    /// `[B * T]`, the type of each token; empty: all are of the first one.
    pub types: Vec<u32>,
    /// `[B]`: tokens of each sequence.
    pub lengths: Vec<usize>,
    /// T.
    pub rows: usize,
}

impl Sequences {
    /// These, filled up to the longest.
    pub fn of(sequences: &[&[u32]]) -> Self {
        let rows = sequences.iter().map(|sequence| sequence.len()).max().unwrap_or(0);
        let mut tokens = Vec::with_capacity(sequences.len() * rows);
        for sequence in sequences {
            tokens.extend_from_slice(sequence);
            tokens.resize(tokens.len() + rows - sequence.len(), 0);
        }
        Self { tokens, types: Vec::new(), lengths: sequences.iter().map(|sequence| sequence.len()).collect(), rows }
    }

    /// Checks sizes and tokens.
    ///
    /// # Errors
    /// Usage: a token outside the vocabulary, a sequence that is longer than the model knows positions. Internal: sizes that do not fit
    /// each other.
    pub fn validate(&self, config: &EncoderConfig) -> Result<()> {
        let Self { tokens, types, lengths, rows } = self;
        let size = lengths.len() * rows;
        let fits = |length: &usize| (1..=*rows).contains(length);
        if size == 0 || tokens.len() != size || !(types.is_empty() || types.len() == size) || !lengths.iter().all(fits)
        {
            return Err(Fault::internal(format!(
                "{} sequences of {rows} rows have {} tokens",
                lengths.len(),
                tokens.len()
            )));
        }
        if *rows > config.context {
            return Err(Fault::usage(format!(
                "a sequence of {rows} tokens: the encoder knows {} positions",
                config.context
            ))
            .hint("shorten the text, or train with a larger encoder.context"));
        }
        if types.iter().any(|of| *of as usize >= config.types.max(1)) {
            return Err(Fault::internal("a type of token that the encoder does not have"));
        }
        check_tokens(tokens, config.vocab)
    }
}

/// Sequences, some of whose tokens are to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaskedBatch {
    /// What is read.
    pub sequences: Sequences,
    /// Row-major indices of the positions that are asked.
    pub asked: Vec<usize>,
    /// The token that is to be told at each of them.
    pub labels: Vec<u32>,
}

impl MaskedBatch {
    /// Checks sizes and tokens.
    ///
    /// # Errors
    /// As [`Sequences::validate`].
    pub fn validate(&self, config: &EncoderConfig) -> Result<()> {
        self.sequences.validate(config)?;
        let Sequences { lengths, rows, .. } = &self.sequences;
        let is_token = |&at: &usize| lengths.get(at / rows).is_some_and(|length| at % rows < *length);
        if self.asked.len() != self.labels.len() || !self.asked.iter().all(is_token) {
            return Err(Fault::internal(format!(
                "{} labels are asked at {} positions, or at padding",
                self.labels.len(),
                self.asked.len()
            )));
        }
        check_tokens(&self.labels, config.vocab)
    }
}
