//! What a comparison finds: the content of `report.json`, and all that a report is rendered from.
//!
//! Its keys are an interface: more may be added, none changes. Losses are mean negative log-likelihoods per target in
//! nats; bits per byte stand beside them where the tokenizer keeps every byte. Times are seconds of training alone: validation,
//! samples and checkpoints are not counted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The layout of [`Comparison`] that this version writes.
pub const FORMAT: u32 = 1;

/// The answer of `percept compare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Layout of this object: [`FORMAT`].
    pub format: u32,
    /// What the comparison is called.
    pub name: String,
    /// Whether every run is finished; a report can be made on the way.
    pub state: State,
    /// The text.
    pub corpus: CorpusInfo,
    /// How validation and test text are scored.
    pub protocol: ProtocolInfo,
    /// What every run may use.
    pub budget: Budget,
    /// What is equal for all models, and how that was made sure.
    pub fairness: Fairness,
    /// Where it ran.
    pub environment: EnvironmentInfo,
    /// Models that count bytes, on the same text.
    pub baselines: Vec<Baseline>,
    /// The models, best first; those without a test result yet at the end.
    pub models: Vec<ModelResult>,
    /// The validation curves read at equal cost.
    pub readings: Vec<Reading>,
    /// What every sample goes on from; empty: the start of a document.
    pub prompt: String,
}

/// How far a comparison has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Some runs are still missing.
    Unfinished,
    /// All runs are done and scored.
    Finished,
}

/// The text of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorpusInfo {
    /// What the user called it: the paths of its sources.
    pub name: String,
    /// Bytes of text over all splits.
    pub bytes: u64,
    /// Training, validation and test text, in this order.
    pub splits: Vec<SplitInfo>,
}

/// One split of the text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// `train`, `validation` or `test`.
    pub name: String,
    /// Documents.
    pub documents: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// White-space separated words.
    pub words: u64,
    /// Tokens, without document tokens.
    pub tokens: u64,
    /// Hash of the tokens of the split and of everything that they depend on.
    pub hash: String,
}

/// In what context each target of the validation and test text is scored; the same for every model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProtocolInfo {
    /// In words, e.g. `sliding window w = 1024, t = 512`.
    pub text: String,
    /// Tokens per window (w).
    pub window: usize,
    /// Targets that a window scores, its last ones (t).
    pub stride: usize,
    /// Tokens of context that every target has, but those at the start of a document: w - t.
    pub guaranteed_context: usize,
    /// At most so many targets of the test text are scored; `None`: all.
    pub test_limit: Option<usize>,
    /// Validation targets scored for a point of a curve, spread over the validation text.
    pub validation_targets: usize,
}

/// The kind of a budget, and an axis to read curves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Positions fed.
    Tokens,
    /// Positions trained. Models with a history train the last ones of each window only.
    Targets,
    /// Floating-point operations of training, by the cost model.
    Flops,
    /// Seconds of training.
    Seconds,
}

/// What every run may use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// What is counted.
    pub kind: Axis,
    /// How much of it.
    pub amount: f64,
}

/// What is equal for all models, and how that was made sure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// The tokenizer, in words.
    pub tokenizer: String,
    /// Hash of the tokenizer.
    pub tokenizer_hash: String,
    /// Seeds of weights, data order and dropout.
    pub seeds: Vec<u64>,
    /// Tokens of a training window, for every model.
    pub context: usize,
    /// Positions fed in an optimizer step, for every model.
    pub tokens_per_step: u64,
    /// For each seed, whether all models read the same text in the same order.
    pub data_order: Vec<DataOrder>,
    /// Whether parameters were matched.
    pub parameters: Matching,
    /// How learning rates were chosen.
    pub learning_rate: LearningRate,
    /// The schedule of the learning rate, in words.
    pub schedule: String,
    /// What choices were made on, in words: never on the test text.
    pub selection: String,
}

/// The text that the runs of one seed consumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataOrder {
    /// The seed.
    pub seed: u64,
    /// The last step up to which the orders were compared: the runs of the seed all have it.
    pub step: u64,
    /// Hash of all windows consumed up to this step, in order.
    pub hash: String,
    /// Whether every model had this hash there.
    pub equal: bool,
}

/// Whether parameters were matched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Matching {
    /// The feed-forward width was adjusted until the count is near the target.
    Matched {
        /// Parameters to match.
        target: u64,
        /// Largest relative deviation that is allowed, e.g. 0.02.
        tolerance: f64,
    },
    /// Configurations as given.
    AsGiven,
}

/// How learning rates were chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LearningRate {
    /// The configured one, the same for all unless a model's own table says otherwise.
    AsGiven,
    /// The best of a grid on the validation text, for each model by itself, at equal cost.
    Sweep {
        /// Factors on the configured learning rate.
        factors: Vec<f64>,
        /// Share of the budget that each point of the grid is trained for.
        fraction: f64,
    },
}

/// Where a comparison ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentInfo {
    /// Version of Percept.
    pub version: String,
    /// Commit that it was built from, where it is known.
    pub commit: Option<String>,
    /// Operating system and architecture.
    pub system: String,
    /// Name of the processor, where it can be told.
    pub cpu: Option<String>,
    /// Threads that compute.
    pub threads: usize,
    /// The device, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// Precision of the matrix products, e.g. `f32`.
    pub precision: String,
}

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
    /// Its runs, one per seed.
    pub runs: Vec<RunResult>,
    /// What the first seed's model writes after [`Comparison::prompt`].
    pub sample: Option<String>,
    /// The resolved configuration as TOML.
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
    pub reach: usize,
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

/// A figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Lowest.
    pub min: f64,
    /// Highest.
    pub max: f64,
    /// Number of seeds.
    pub seeds: usize,
}

impl Spread {
    /// The spread of some values; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let (min, max) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        Some(Self { mean: values.iter().sum::<f64>() / values.len() as f64, min, max, seeds: values.len() })
    }

    /// Highest less lowest; `None` with one seed, which tells nothing about the spread.
    pub fn width(&self) -> Option<f64> {
        (self.seeds > 1).then_some(self.max - self.min)
    }
}

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
    /// exp(nll / targets).
    pub token_perplexity: f64,
    /// exp(nll / words); `None` for a lossy tokenizer.
    pub word_perplexity: Option<f64>,
    /// nll / (bytes ln 2); `None` for a lossy tokenizer.
    pub bits_per_byte: Option<f64>,
}

impl TestResult {
    /// Bits per byte; nats per target where the tokenizer is lossy.
    pub fn value(&self) -> f64 {
        self.bits_per_byte.unwrap_or(self.nll / self.targets as f64)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_needs_two_seeds() {
        let spread = Spread::of(&[2.0, 1.0, 1.5]).unwrap();
        assert_eq!((spread.mean, spread.width()), (1.5, Some(1.0)));
        assert_eq!(Spread::of(&[2.0]).unwrap().width(), None);
        assert_eq!(Spread::of(&[]), None);
    }

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
        assert_eq!(serde_json::to_value(Matching::AsGiven).unwrap()["kind"], "as-given");
    }
}
