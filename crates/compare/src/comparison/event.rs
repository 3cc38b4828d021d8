//! What a comparison tells while it goes on.

use percept_train::{StepMetrics, ValidationMetrics};

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
