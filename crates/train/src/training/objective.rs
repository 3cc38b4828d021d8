//! What a model learns from windows of text.

use percept_data::TokenBatch;
use percept_model::Batch;

/// Turns windows of text into what a model reads and what it should answer.
///
/// ```
/// use percept_data::TokenBatch;
/// use percept_train::{NextToken, Objective};
///
/// /// Learns only from even tokens.
/// struct Even;
///
/// impl Objective for Even {
///     type Batch = percept_model::Batch;
///
///     fn batch(&self, mut windows: TokenBatch, draw: u64) -> percept_model::Batch {
///         windows.targets.iter_mut().filter(|target| **target % 2 == 1).for_each(|target| *target = percept_data::IGNORED);
///         NextToken.batch(windows, draw)
///     }
/// }
///
/// let windows = TokenBatch { tokens: vec![1, 2, 3], targets: vec![2, 3, 4], rows: 1, length: 3 };
/// assert_eq!(Even.batch(windows, 0).scored(3), 2);
/// ```
pub trait Objective {
    /// What the model learns from at a time.
    type Batch;

    /// The batch of some windows, whose targets are the tokens that follow. `draw` differs from batch to batch and is the same when a
    /// run goes on: whatever is random here is a function of it.
    fn batch(&self, windows: TokenBatch, draw: u64) -> Self::Batch;
}

// Text and model know nothing of each other, but what one leaves out the other does not learn.
const _: () = assert!(percept_data::IGNORED == percept_model::IGNORED);

/// Every token predicts the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextToken;

impl Objective for NextToken {
    type Batch = Batch;

    fn batch(&self, windows: TokenBatch, _draw: u64) -> Batch {
        let TokenBatch { tokens, targets, rows, length } = windows;
        Batch { tokens, targets, rows, length }
    }
}
