//! One configuration that is tried, and what came of it.

use serde::{Deserialize, Serialize};

use crate::space::Point;

/// A configuration to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which suggestion of the algorithm it is, from 0; what is promoted keeps its number.
    pub number: u64,
    /// The configuration.
    pub point: Point,
    /// How often it was promoted.
    pub rung: u32,
    /// The share of the whole budget up to which it is trained, over all rungs so far.
    pub fraction: f64,
}

/// What came of a trial.
///
/// ```
/// use percept_tune::Outcome;
/// assert_eq!(Outcome::of(2.5), Outcome::Finished(2.5));
/// assert_eq!(Outcome::of(f64::NAN), Outcome::Diverged);
/// assert_eq!((Outcome::Finished(2.5).value(), Outcome::Failed.value()), (Some(2.5), None));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its metric, a finite number; lower is better.
    Finished(f64),
    /// Training went to infinity.
    Diverged,
    /// It could not be trained: an invalid configuration, no memory, an error.
    Failed,
}

impl Outcome {
    /// The outcome of a trial that ended with this metric.
    pub fn of(metric: f64) -> Self {
        if metric.is_finite() { Self::Finished(metric) } else { Self::Diverged }
    }

    /// The metric, where there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Finished(value) => Some(value),
            Self::Diverged | Self::Failed => None,
        }
    }

    /// What trials are sorted by: the metric, and behind all of these what has none.
    pub fn rank(self) -> f64 {
        self.value().unwrap_or(f64::INFINITY)
    }
}
