//! What the suites find, as `percept eval --json` and reports give it.
//!
//! Every result can be read back, so that it can be kept beside a run. All losses are in nats; figures per byte are
//! absent where the tokenizer loses text.

use serde::{Deserialize, Serialize};

use percept_files::json::infinite_where_null;

/// The result of one suite. Serialized, the keys of its [`Findings`] stand beside its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// What reports call the model.
    pub model: String,
    /// What was asked and in what context, in a line.
    pub protocol: String,
    /// The seed of everything that was drawn.
    pub seed: u64,
    /// Wall-clock time.
    pub seconds: f64,
    /// The figures.
    #[serde(flatten)]
    pub findings: Findings,
}

/// The figures of a suite, under the key `suite` by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "suite", rename_all = "lowercase")]
pub enum Findings {
    /// Loss by position.
    Position(Position),
    /// Loss of the same targets given more and more context.
    Context(Context),
    /// Multi-query associative recall.
    Recall(Recall),
    /// Copying, straight and reversed.
    Copy(Copying),
    /// A needle in a haystack.
    Needle(Needle),
}

/// A mean loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanLoss {
    /// Targets, each counted once.
    pub targets: u64,
    /// Mean of -ln p, in nats per target.
    pub nll: f64,
    /// Standard error of `nll`, from how the units differ; `None` for a single one.
    pub standard_error: Option<f64>,
    /// Lower end of the 95 % interval of `nll` (Student's t); `None` for a single unit, and in results before it was given.
    #[serde(default)]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default)]
    pub high: Option<f64>,
    /// Independent units: documents; in a single document, stretches or windows of it.
    #[serde(default)]
    pub units: Option<u64>,
    /// The same loss in bits per byte of text.
    pub bits_per_byte: Option<f64>,
}

/// Loss by the place of the target in its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Buckets that double: 0, 1, 2 to 3, 4 to 7, ...
    pub logarithmic: Vec<PositionBucket>,
    /// Buckets of equal width.
    pub linear: Vec<PositionBucket>,
}

/// Targets with `from <= index < to`; the index counts the tokens of the document before the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PositionBucket {
    /// First index.
    pub from: u64,
    /// Index after the last one.
    pub to: u64,
    /// The loss of its targets.
    #[serde(flatten)]
    pub loss: MeanLoss,
}

/// Loss of the same targets by the number of tokens before them that the model is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// From the smallest context to the largest.
    pub points: Vec<ContextPoint>,
}

impl Context {
    /// The points that have some context.
    pub fn given(&self) -> &[ContextPoint] {
        let none = self.points.iter().take_while(|point| point.context == 0).count();
        &self.points[none..]
    }
}

/// The loss with one amount of context, and what it gains over the smallest amount.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ContextPoint {
    /// Tokens of context.
    pub context: u64,
    /// The loss of the targets.
    #[serde(flatten)]
    pub loss: MeanLoss,
    /// Mean fall of the loss against the smallest context, in nats per target.
    pub gain: f64,
    /// Standard error of `gain` (paired: each target with itself), from how the units differ; `None` for a single one.
    pub gain_standard_error: Option<f64>,
    /// Lower end of the 95 % interval of `gain`; `None` for a single unit, and in results before it was given.
    #[serde(default)]
    pub gain_low: Option<f64>,
    /// Upper end.
    #[serde(default)]
    pub gain_high: Option<f64>,
    /// The gain in bits per byte.
    pub gain_bits_per_byte: Option<f64>,
    /// Its standard error.
    pub gain_bits_per_byte_standard_error: Option<f64>,
}

/// How often a choice among candidates was right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Choices made.
    pub trials: u64,
    /// Right ones; where k candidates share the highest likelihood, and the right one is among them, 1 / k.
    pub correct: f64,
    /// `correct / trials`.
    pub accuracy: f64,
    /// Lower end of the 95 % interval (Wilson 1927), for as many independent choices as the units are worth.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Independent units: documents of a task, or needles. `None` in results that took every trial as independent.
    #[serde(default)]
    pub units: Option<u64>,
}

/// A table of accuracies: by size of the task, by distance, and by both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskTable {
    /// Each size and distance.
    pub cells: Vec<TaskCell>,
    /// Each size, all distances; the distances are those that occurred.
    pub by_size: Vec<TaskCell>,
    /// Each distance, all sizes; `size` is 0.
    pub by_distance: Vec<TaskCell>,
}

/// Answers whose source stands `distance_from <= distance < distance_to` tokens before the row that gives them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TaskCell {
    /// Pairs to remember, or symbols to copy.
    pub size: u64,
    /// Smallest distance, in tokens.
    pub distance_from: u64,
    /// The distance after the largest one.
    pub distance_to: u64,
    /// How often the right candidate was the likeliest one.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Mean -ln p of the right token among all tokens of the vocabulary; written as null where one has no likelihood at all.
    #[serde(deserialize_with = "infinite_where_null")]
    pub nll: f64,
}

/// Multi-query associative recall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Accuracy of guessing: 1 / number of values.
    pub chance: f64,
    /// Accuracy at the queries; the size is the number of pairs.
    #[serde(flatten)]
    pub table: TaskTable,
}

/// Copying of random symbols.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copying {
    /// Accuracy of guessing: 1 / number of symbols.
    pub chance: f64,
    /// Straight copies; the size is the number of symbols to copy.
    pub copy: TaskTable,
    /// Copies that run backwards.
    pub reverse: TaskTable,
}

/// A needle in a haystack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Needle {
    /// Accuracy of guessing: 1 / number of candidates.
    pub chance: f64,
    /// Candidates, the true value among them.
    pub candidates: u64,
    /// What the haystack is made of: `text` (the evaluation text) or `synthetic`.
    pub haystack: String,
    /// By length, then by depth.
    pub cells: Vec<NeedleCell>,
    /// All cells together.
    pub total: Accuracy,
}

/// Needles at one depth of one length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NeedleCell {
    /// Tokens of the whole prompt.
    pub length: u64,
    /// Where the needle lies: 0 at the start of the haystack, 1 at its end.
    pub depth: f64,
    /// How often the true value was the likeliest one.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}
