//! One run: its curve, its best checkpoint, its test result.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::setting::Axis;
use percept_files::json::infinite_where_null;

/// One run: a model with a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run folder, relative to the folder of the comparison.
    pub folder: PathBuf,
    /// Hash of configuration, data, seed and budget: a finished run with the same one is not run again.
    pub fingerprint: String,
    /// The seed.
    pub seed: u64,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// What the sweep found, where there was one.
    pub sweep: Vec<SweepPoint>,
    /// Optimizer steps done.
    pub steps: u64,
    /// The curve, in the order of the steps.
    pub curve: Vec<CurvePoint>,
    /// The lowest validation loss and where it was: its checkpoint is the one that is tested.
    pub best: Option<BestPoint>,
    /// The test result: scored once, after everything else.
    pub test: Option<TestResult>,
    /// Why there is none, and never will be.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// One point of a learning-rate sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Last validation loss; `None`: training diverged.
    pub loss: Option<f64>,
    /// The same in bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Positions fed.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
}

/// One point of a curve: a validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Positions fed so far.
    pub tokens: u64,
    /// Targets trained so far.
    pub targets: u64,
    /// Operations of training so far.
    pub flops: f64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Mean training loss since the point before.
    pub train_loss: f64,
    /// Validation loss.
    pub validation_loss: f64,
    /// Validation loss in bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Whether the learning rate is at its peak, or already decays.
    pub phase: Phase,
}

/// Where in the schedule a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Warm-up, or at the peak.
    Stable,
    /// The learning rate decays.
    Decay,
}

impl CurvePoint {
    /// Where the point lies on an axis.
    pub fn at(&self, axis: Axis) -> f64 {
        match axis {
            Axis::Tokens => self.tokens as f64,
            Axis::Targets => self.targets as f64,
            Axis::Flops => self.flops,
            Axis::Seconds => self.seconds,
        }
    }

    /// Bits per byte; nats per target where the tokenizer is lossy.
    pub fn value(&self) -> f64 {
        self.bits_per_byte.unwrap_or(self.validation_loss)
    }
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestPoint {
    /// Steps done.
    pub step: u64,
    /// Validation loss.
    pub loss: f64,
    /// The same in bits per byte.
    pub bits_per_byte: Option<f64>,
}

/// The score of the test text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// In what context each target was scored, in words.
    pub protocol: String,
    /// The step of the checkpoint that was scored.
    pub step: u64,
    /// Sum of -ln p over the targets, in nats.
    pub nll: f64,
    /// Targets, each scored once.
    pub targets: u64,
    /// exp(nll / targets); written as null where that is too large for a number.
    #[serde(deserialize_with = "infinite_where_null")]
    pub token_perplexity: f64,
    /// exp(nll / words); `None` for a lossy tokenizer, and where it is not defined.
    pub word_perplexity: Option<f64>,
    /// nll / (bytes ln 2); `None` for a lossy tokenizer.
    pub bits_per_byte: Option<f64>,
    /// nll / (characters ln 2); `None` for a lossy tokenizer, and in results before it was given.
    #[serde(default)]
    pub bits_per_character: Option<f64>,
}

impl TestResult {
    /// Bits per byte; nats per target where the tokenizer is lossy.
    pub fn value(&self) -> f64 {
        self.bits_per_byte.unwrap_or(self.nll / self.targets as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_on_every_axis_and_keys_are_words() {
        let point = CurvePoint {
            step: 1,
            tokens: 2,
            targets: 3,
            flops: 4.0,
            seconds: 5.0,
            train_loss: 6.0,
            validation_loss: 7.0,
            bits_per_byte: None,
            phase: Phase::Stable,
        };
        let at = [Axis::Tokens, Axis::Targets, Axis::Flops, Axis::Seconds].map(|axis| point.at(axis));
        assert_eq!((at, point.value()), ([2.0, 3.0, 4.0, 5.0], 7.0));
        assert_eq!(serde_json::to_value(&point).unwrap()["phase"], "stable");
    }
}
