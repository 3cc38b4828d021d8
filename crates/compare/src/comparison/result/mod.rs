//! What a comparison finds: the content of `report.json`, and all that a report is rendered from.
//!
//! Its keys are an interface: more may be added, none changes. Losses are mean negative log-likelihoods per target in
//! nats; bits per byte stand beside them where the tokenizer keeps every byte. Times are seconds of training alone: validation,
//! samples and checkpoints are not counted; [`Comparison::timing`] says whose seconds they are.

mod failure;
mod fairness;
mod model;
mod reading;
mod run;
mod setting;
mod spread;
mod timing;

use serde::{Deserialize, Serialize};

pub use failure::*;
pub use fairness::*;
pub use model::*;
pub use reading::*;
pub use run::*;
pub use setting::*;
pub use spread::Spread;
pub use timing::{StepTime, Timing};

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
    /// What a training step takes, timed for all models side by side. Then all seconds of training are steps times this; without it
    /// they are the wall time of the runs: under a budget of time, and before the timing.
    pub timing: Option<Timing>,
    /// Models that count bytes, on the same text.
    pub baselines: Vec<Baseline>,
    /// The models, best first; those without a test result yet at the end.
    pub models: Vec<ModelResult>,
    /// The validation curves read at equal cost.
    pub readings: Vec<Reading>,
    /// What every sample goes on from; empty: the start of a document.
    pub prompt: String,
}

impl Comparison {
    /// The models without a result, with the reason.
    pub fn failed(&self) -> impl Iterator<Item = (&ModelResult, &Failure)> {
        self.models.iter().filter_map(|model| Some((model, model.failure.as_ref()?)))
    }

    /// Whether enough models are left: two, or the only one that was named.
    pub fn is_meaningful(&self) -> bool {
        self.models.len() - self.failed().count() >= self.models.len().min(2)
    }
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
