//! Verification: does a model keep the promises that such code usually breaks?
//!
//! | check | what must hold |
//! |---|---|
//! | `causality` | changing token t changes no scored output before t, bit for bit |
//! | `causality-gradients` | an output row has no gradient with respect to later inputs |
//! | `forward-extend` | a stream fed token by token gives what whole windows give |
//! | `forward-extend-chunks` | and so does one fed in ragged pieces |
//! | `state-round-trip` | a stream that was saved and loaded goes on as if nothing had happened |
//! | `state-fork` | two forks do not see each other |
//! | `state-bytes` | the state takes the bytes that are declared, at every position |
//! | `reach-beyond` | a token further back than the declared reach changes nothing |
//! | `reach-at` | the furthest one inside it changes something |
//! | `batch-independence` | a window's rows do not depend on the other windows of its batch |
//! | `padding-independence` | nor on tokens after its end |
//! | `relative-positions` | a window gives the same wherever it stands, where a model is declared to know distances only |
//! | `loss-agreement` | training (with and without recomputation) and evaluation give one loss |
//! | `single-precision` | f32 (the fused kernels) gives the rows, streams and gradients of f64 |
//!
//! An encoder sees both sides and has no stream: [`verify_encoder`] checks that it does, that neither its batch nor padding changes anything,
//! one loss, and single precision.
//!
//! [`parity`] adds the comparison with recorded outputs of a reference implementation.
//!
//! It works on anything that implements [`Subject`]: [`ModelSubject`] for a language model,
//! [`MixerSubject`] for a mixer of the user's own. Begin with the example of [`verify()`].

mod checks;
mod encoder;
mod fixtures;
mod mixer;
mod model;
mod probes;
mod reduce;
mod subject;

use percept_fault::Result;
use serde::Serialize;

pub use encoder::{EncoderSubject, reduced_encoder, verify_encoder};
pub use fixtures::parity;
pub use mixer::MixerSubject;
pub use model::ModelSubject;
pub use reduce::reduced;
pub use subject::{Row, Subject, SubjectStream};

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Positions tried per check, borders first.
    pub positions: usize,
    /// Length of the streams, in windows and a part of one.
    pub windows: usize,
    /// Seed of the tokens.
    pub seed: u64,
}

impl Effort {
    /// Every position of short windows: for reduced models.
    pub const THOROUGH: Self = Self { positions: 96, windows: 4, seed: 1 };

    /// A few positions: for models of full size.
    pub const SAMPLED: Self = Self { positions: 6, windows: 1, seed: 1 };
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Its name, stable.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// The worst that was found; `None` where the check does not apply.
    pub value: Option<f64>,
    /// What it is compared with.
    pub limit: f64,
    /// What the two are, and where the worst was found; or why the check does not apply.
    pub detail: String,
}

/// The outcome of all checks. Serialized, its keys are those of `percept verify --json`.
///
/// ```
/// use percept_verify::{Check, Verdict};
/// let check = |name, value| Check { name, passed: value <= 0.1, value: Some(value), limit: 0.1, detail: String::new() };
/// let verdict = Verdict { model: "mine".into(), checks: vec![check("causality", 0.0)], passed: true };
/// // A check of one's own counts like the others.
/// let verdict = verdict.with([check("my-tokens-are-balanced", 0.3)]);
/// assert_eq!((verdict.passed, verdict.failures()), (false, vec!["my-tokens-are-balanced"]));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The model.
    pub model: String,
    /// Every check, in the order of the table.
    pub checks: Vec<Check>,
    /// Whether all hold.
    pub passed: bool,
}

impl Verdict {
    fn new(model: String, checks: Vec<Check>) -> Self {
        let passed = checks.iter().all(|check| check.passed);
        Self { model, checks, passed }
    }

    /// Adds checks that were made elsewhere.
    pub fn with(self, more: impl IntoIterator<Item = Check>) -> Self {
        Self::new(self.model, self.checks.into_iter().chain(more).collect())
    }

    /// The names of the checks that failed.
    pub fn failures(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
    }
}

/// Runs every check. `progress` gets each outcome as it is known.
///
/// # Errors
/// Whatever running the model meets; a check that does not hold is no error.
///
/// ```
/// use percept_model::ModelConfig;
/// use percept_verify::{Effort, ModelSubject, reduced, verify};
/// # let config = ModelConfig { vocab: 257, depth: 1, ..Default::default() };
/// // A small model of the same structure: what it promises, the large one promises.
/// let config = reduced(&config)?;
/// let subject = ModelSubject::random("llp", &config, 1, &Default::default())?;
/// let mut names = Vec::new();
/// let verdict = verify(&subject, Effort::SAMPLED, &mut |check| names.push(check.name))?;
/// assert!(verdict.passed && verdict.failures().is_empty(), "{verdict:#?}");
/// assert!(names.contains(&"causality") && names.contains(&"state-round-trip"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn verify(subject: &dyn Subject, effort: Effort, progress: &mut dyn FnMut(&Check)) -> Result<Verdict> {
    let mut all = Vec::new();
    for run in checks::ALL {
        for check in run(subject, effort)? {
            progress(&check);
            all.push(check);
        }
    }
    Ok(Verdict::new(subject.name(), all))
}

#[cfg(test)]
mod broken;
#[cfg(test)]
mod grid;
#[cfg(test)]
mod pooled;
#[cfg(test)]
mod recurrent;
#[cfg(test)]
mod shift;
#[cfg(test)]
mod tests;
