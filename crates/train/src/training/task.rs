//! What a run is about: the model's kind, its data, how it is judged.

use std::path::Path;

use percept_fault::Result;
use percept_model::{Loss, Trainable};

use super::source::Source;

/// The batches of a task's model.
pub type BatchOf<T> = <<T as Task>::Model as Trainable>::Batch;

/// What the loop asks of whatever is trained; it knows steps, checkpoints and metrics by itself.
pub trait Task {
    /// The kind of model.
    type Model: Trainable;

    /// Where the batches of this rank come from.
    fn source(&mut self) -> &mut dyn Source<Batch = BatchOf<Self>>;

    /// How much data there is, for whoever watches.
    fn extent(&self) -> Extent;

    /// The loss over what is held out; `None` where nothing is. The model is without autodiff.
    ///
    /// # Errors
    /// Whatever reading or computing meets.
    fn validate(&self, model: &Self::Model) -> Result<Option<Loss>>;

    /// A loss per target in bits per byte of the data that it is of, where that has a meaning.
    fn bits_per_byte(&self, _loss: f64, _of: Measured) -> Option<f64> {
        None
    }

    /// Something to look at, as text; the model is without autodiff.
    ///
    /// # Errors
    /// Whatever computing it meets.
    fn sample(&self, _model: Self::Model) -> Result<Option<String>> {
        Ok(None)
    }

    /// Writes what a checkpoint needs beside weights and moments to be used by itself.
    ///
    /// # Errors
    /// An environment fault.
    fn write_beside(&self, _checkpoint: &Path) -> Result<()> {
        Ok(())
    }

    /// Fingerprint of the held-out data, where it can be told.
    fn held_out(&self) -> Option<String> {
        None
    }
}

/// What a loss was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Batches that were trained on.
    Training,
    /// What is held out.
    Validation,
}

/// How much data a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Tokens, images, ... of the training data.
    pub train_inputs: u64,
    /// Documents, or whatever holds them.
    pub train_documents: usize,
    /// The same of what is held out for validation; 0: the run validates nothing.
    pub validation_documents: usize,
    /// Inputs of one step of all ranks.
    pub inputs_per_step: usize,
}
