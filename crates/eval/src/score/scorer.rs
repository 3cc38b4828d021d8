//! What scoring asks of a model.

use percept_fault::Result;
use percept_model::{Batch, Loss};

/// A model that can be scored. The language models implement it; so can anything that predicts tokens.
pub trait Scorer {
    /// What reports call it.
    fn name(&self) -> String;

    /// How many rows, at its end, a window of `length` tokens can score.
    fn scorable(&self, length: usize) -> usize;

    /// Sum of the NLL in nats over the targets of equally long windows that are not [`percept_model::IGNORED`].
    ///
    /// # Errors
    /// A token outside the vocabulary, a target on a row that may not be scored, or a device fault.
    fn score_windows(&self, batch: &Batch) -> Result<Loss>;

    /// A fresh stream.
    ///
    /// # Errors
    /// A model that cannot stream.
    fn stream(&self) -> Result<Box<dyn Stream + '_>>;

    /// Tokens that one call should hold at most, to bound memory: `rows * length` of a batch, or a piece of a stream.
    fn tokens_per_call(&self) -> usize {
        8192
    }
}

/// One stream of tokens with carried state.
pub trait Stream {
    /// Reads tokens without scoring them.
    ///
    /// # Errors
    /// A token outside the vocabulary, or a device fault.
    fn feed(&mut self, tokens: &[u32]) -> Result<()>;

    /// Sum of the NLL in nats of these tokens, each given everything before it, which are then part of the stream.
    ///
    /// # Errors
    /// As [`Stream::feed`]; and a stream that has seen nothing yet.
    fn score(&mut self, tokens: &[u32]) -> Result<f64>;
}
