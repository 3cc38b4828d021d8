//! Where a run's batches come from.

use percept_fault::Result;
use serde_json::Value;

use crate::config::TrainConfig;

/// An endless sequence of batches that goes on exactly from a saved place.
pub trait Source {
    /// What a model learns from at a time.
    type Batch;

    /// The next batch of this rank.
    ///
    /// # Errors
    /// Whatever reading it meets.
    fn next_batch(&mut self) -> Result<Self::Batch>;

    /// The place, as a checkpoint keeps it.
    ///
    /// # Errors
    /// An internal fault.
    fn position(&self) -> Result<Value>;

    /// Goes to a place.
    ///
    /// # Errors
    /// The place is one of other data.
    fn restore(&mut self, position: &Value) -> Result<()>;

    /// Equal for runs that have seen equal data, where the source can tell.
    fn order_hash(&self) -> String {
        String::new()
    }
}

/// The micro-batches of the next optimizer step.
///
/// # Errors
/// As [`Source::next_batch`].
pub fn next_batches<S: Source + ?Sized>(source: &mut S, train: &TrainConfig) -> Result<Vec<S::Batch>> {
    (0..train.accumulate).map(|_| source.next_batch()).collect()
}
