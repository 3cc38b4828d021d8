//! What a comparison tells while it goes on.

use percept_train::{Event as TrainEvent, StepMetrics, ValidationMetrics};

use super::result::Failure;

/// What a comparison tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A run begins or goes on.
    Run {
        /// Model and seed, or model and learning rate.
        label: String,
        /// Runs finished.
        finished: usize,
        /// Runs in all, as far as they are known.
        total: usize,
    },
    /// A line of metrics of the run under way.
    Step {
        /// The line.
        metrics: StepMetrics,
        /// Share of this run, from 0 to 1.
        run: f64,
        /// Share of all training, from 0 to 1.
        whole: f64,
    },
    /// A validation of the run under way.
    Validation(ValidationMetrics),
    /// Something that the user should know; the run goes on.
    Warning(String),
    /// Training steps of all models are being timed side by side.
    Timing {
        /// The model whose turn it is.
        label: String,
        /// Steps taken.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// The test text is being scored.
    Scoring {
        /// Model and seed.
        label: String,
        /// Targets scored.
        done: u64,
        /// Targets in all.
        total: u64,
    },
}

impl Event {
    /// What a run tells; `shares`: how much of the run and of the whole is done, from 0 to 1.
    pub(super) fn of_training(event: TrainEvent, shares: impl FnOnce(&StepMetrics) -> (f64, f64)) -> Option<Self> {
        match event {
            TrainEvent::Step(metrics) => {
                let (run, whole) = shares(&metrics);
                Some(Self::Step { metrics, run, whole })
            }
            TrainEvent::Validation(metrics) => Some(Self::Validation(metrics)),
            TrainEvent::Warning(warning) => Some(Self::Warning(warning)),
            _ => None,
        }
    }

    /// A run has no result.
    pub(super) fn failed(label: &str, failure: &Failure) -> Self {
        Self::Warning(format!("{label}: {}; the comparison goes on without it", failure.message))
    }
}
