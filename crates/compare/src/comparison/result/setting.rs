//! What every model is given: text, protocol, budget, machine.

use serde::{Deserialize, Serialize};

/// The text of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorpusInfo {
    /// What its sources are called: their names, or the last part of their paths.
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
///
/// ```
/// use percept_compare::{Axis, Budget};
/// let budget: Budget = "6M targets".parse()?;
/// assert_eq!((budget.kind, budget.amount), (Axis::Targets, 6e6));
/// assert_eq!("1.5 h".parse::<Budget>()?.to_string(), "5400 seconds of training");
/// assert!("6M".parse::<Budget>().unwrap_err().is_usage());
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// What is counted.
    pub kind: Axis,
    /// How much of it.
    pub amount: f64,
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
