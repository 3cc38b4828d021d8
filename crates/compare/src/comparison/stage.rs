//! The order in which the runs of a comparison need each other.

use std::fmt;

use serde::Serialize;

use super::spec::Spec;

/// Runs that can go on at the same time: they need nothing of each other, only of the stages before.
///
/// ```
/// use percept_compare::{Finalists, ModelSpec, Spec, Stage};
/// let models = ["llp", "transformer"].map(ModelSpec::from).to_vec();
/// let finalists = Some(Finalists { models: 1, seeds: vec![3, 4, 5] });
/// let spec = Spec { models, seeds: vec![1, 2], finalists, ..Spec::default() };
/// // No learning rate is searched; two models with two seeds; three more seeds for whichever is best.
/// assert_eq!(Stage::ALL.map(|stage| stage.parts(&spec)), [0, 4, 3]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The points of the search for each model's learning rate.
    Sweep,
    /// Every model with every seed.
    Runs,
    /// Further seeds of the best models.
    Finalists,
}

impl Stage {
    /// All stages in the order in which they need each other.
    pub const ALL: [Self; 3] = [Self::Sweep, Self::Runs, Self::Finalists];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Runs => "runs",
            Self::Finalists => "finalists",
        }
    }

    /// How many parts it has in a comparison.
    pub fn parts(self, spec: &Spec) -> usize {
        let models = spec.models.len();
        match self {
            Self::Sweep => models * spec.sweep.as_ref().map_or(0, |sweep| sweep.lr),
            Self::Runs => models * spec.seeds.len(),
            Self::Finalists => places(spec) * spec.finalists.as_ref().map_or(0, |finalists| finalists.seeds.len()),
        }
    }
}

/// Models that become finalists, at most.
pub(super) fn places(spec: &Spec) -> usize {
    spec.finalists.as_ref().map_or(0, |finalists| finalists.models.min(spec.models.len()))
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
