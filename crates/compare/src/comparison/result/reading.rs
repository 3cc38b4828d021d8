//! Curves read at equal cost.

use serde::{Deserialize, Serialize};

use super::setting::Axis;

/// The validation curves read at the same amount of something.
///
/// It is the largest amount that every model reached before the decay of its learning rate: a model that already decays
/// would gain by that alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What is equal.
    pub axis: Axis,
    /// How much of it.
    pub at: f64,
    /// One value per model that has a curve up to there, lowest first.
    pub values: Vec<ReadingValue>,
}

/// One model in a reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadingValue {
    /// The model's name.
    pub model: String,
    /// Bits per byte of the validation text (nats per target with a lossy tokenizer), interpolated between the points of
    /// the curve; the mean over the seeds.
    pub value: f64,
}
