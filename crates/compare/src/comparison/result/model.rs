//! One model: what it costs, what its runs used, how good it is.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::run::RunResult;
use super::spread::Spread;

/// A model that counts bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// E.g. `order-2 bytes`.
    pub name: String,
    /// Bytes of context.
    pub order: usize,
    /// Bits per byte of the validation text.
    pub validation_bits_per_byte: Option<f64>,
    /// Bits per byte of the test text.
    pub test_bits_per_byte: Option<f64>,
}

/// One model of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// Its name in every table.
    pub name: String,
    /// Its mixer schedule, e.g. `llp*5, transformer`.
    pub layers: String,
    /// Place: 1 + the number of models that are better by more than the spread. Models that tie share it.
    pub rank: Option<usize>,
    /// The other models that it ties with, by name.
    pub ties: Vec<String>,
    /// Whether it fails to beat the order-2 byte model on the test text (the validation text while there is no test result).
    pub under_trained: Option<bool>,
    /// What it costs, by formulas.
    pub cost: Cost,
    /// What its runs used and how fast they were; `None` before the first is finished.
    pub usage: Option<Usage>,
    /// Bits per byte of the test text over its seeds (nats per target with a lossy tokenizer).
    pub test: Option<Spread>,
    /// The lowest validation value of each seed, in the same unit.
    pub validation: Option<Spread>,
    /// Why it has no result: a run, or every learning rate of its sweep, diverged. Then it has no place, no ties, and no figures over its
    /// seeds, as those that are left would flatter it; its runs have theirs.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Its runs, one per seed.
    pub runs: Vec<RunResult>,
    /// What the first seed's model writes after [`super::Comparison::prompt`].
    pub sample: Option<String>,
    /// The resolved configuration as TOML, with names in place of the paths of the machine.
    pub config: String,
}

/// What a model costs, by the formulas of its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Weights.
    pub parameters: u64,
    /// Feed-forward width, after the matching of parameters.
    pub feed_forward_dim: usize,
    /// Operations of a forward pass over a training window, per token.
    pub flops_per_token: f64,
    /// Operations of training, per token.
    pub training_flops_per_token: f64,
    /// Attention scores of a training window, all layers.
    pub score_entries: u64,
    /// Targets that a training window trains.
    pub targets_per_window: usize,
    /// How far back, in tokens, an input can influence an output of one pass.
    pub reach: Option<usize>,
    /// Tokens of context that the test protocol lets it use: the lesser of reach and window.
    pub usable_context: usize,
    /// Bytes of a session's state after a training window.
    pub state_bytes: u64,
    /// Bytes of a session's state after 1,000,000 tokens, for a model trained with its own context.
    pub state_bytes_1m: u64,
    /// Peak memory of training, estimated.
    pub peak_memory_bytes: u64,
}

/// What the runs of a model used: means over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Optimizer steps.
    pub steps: u64,
    /// Positions fed.
    pub tokens: u64,
    /// Targets trained.
    pub targets: u64,
    /// Floating-point operations of training.
    pub flops: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Positions per second of training.
    pub tokens_per_second: f64,
    /// Targets per second of training.
    pub targets_per_second: f64,
    /// Peak resident memory measured while it trained, where the system tells.
    pub measured_peak_memory_bytes: Option<u64>,
}
