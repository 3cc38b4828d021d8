//! Where a run's batches come from.

use percept_fault::Result;
use serde_json::Value;

use crate::config::TrainConfig;

/// An endless sequence of batches that goes on exactly from a saved place.
///
/// ```
/// use percept_fault::{Fault, Result};
/// use percept_train::{Source, TrainConfig, next_batches};
/// use serde_json::{Value, json};
///
/// /// Gives the squares in turn.
/// struct Squares {
///     next: u64,
/// }
///
/// impl Source for Squares {
///     type Batch = u64;
///
///     fn next_batch(&mut self) -> Result<u64> {
///         self.next += 1;
///         Ok((self.next - 1).pow(2))
///     }
///
///     fn position(&self) -> Result<Value> {
///         Ok(json!({ "next": self.next }))
///     }
///
///     fn restore(&mut self, position: &Value) -> Result<()> {
///         self.next = position["next"].as_u64().ok_or_else(|| Fault::usage("this is the place in other data"))?;
///         Ok(())
///     }
/// }
///
/// let mut squares = Squares { next: 3 };
/// // A step takes as many batches as gradients are accumulated over.
/// let train = TrainConfig { accumulate: 2, ..TrainConfig::default() };
/// let place = squares.position()?;
/// assert_eq!(next_batches(&mut squares, &train)?, [9, 16]);
/// squares.restore(&place)?;
/// assert_eq!(squares.next_batch()?, 9);
/// # Ok::<(), Fault>(())
/// ```
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
