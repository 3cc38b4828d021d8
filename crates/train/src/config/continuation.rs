//! A learning rate that goes on in another way after some step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::learning_rate::Decay;

/// A schedule of its own for the steps after one: a table `[[train.continuation]]`, written by `percept resume`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Continuation {
    /// The step after which it holds.
    pub step: u64,
    /// Steps of the run that the schedule up to there counts on.
    pub steps: u64,
    /// Learning rate of that step, and the highest after it.
    pub learning_rate: f64,
    /// What the steps after it follow, without warm-up.
    pub schedule: Decay,
}

/// How the learning rate goes on after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleChoice {
    /// The schedule of the configuration, over its present number of steps.
    Keep,
    /// As it is at the checkpoint, to the end.
    Constant,
    /// From what it is at the checkpoint down to `train.final_fraction` of that, along half a cosine.
    Decay,
}
