//! The windows of text that a run reads, in its order.

use percept_data::{Dataset, WindowOptions, Windows};
use percept_fault::Result;
use percept_model::Batch;

use crate::config::{RunConfig, TrainConfig};

/// The training windows of a run from their beginning, in the order of its seed.
///
/// # Errors
/// A usage fault where the text holds no window.
pub fn windows(dataset: &Dataset, config: &RunConfig) -> Result<Windows> {
    dataset.windows(WindowOptions {
        window: config.model.context,
        batch: config.train.batch,
        seed: config.train.seed,
        packing: dataset.packing(),
        share: Default::default(),
    })
}

/// The micro-batches of the next optimizer step.
///
/// # Errors
/// An environment fault where the text cannot be read.
pub fn next_batches(windows: &mut Windows, train: &TrainConfig) -> Result<Vec<Batch>> {
    let next = |_| {
        let batch = windows.next_batch()?;
        Ok(Batch { tokens: batch.tokens, targets: batch.targets, rows: batch.rows, length: batch.length })
    };
    (0..train.accumulate).map(next).collect()
}
