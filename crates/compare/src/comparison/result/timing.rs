//! How long a training step of every model takes, timed side by side.

use serde::{Deserialize, Serialize};

use super::Comparison;

/// Training steps of all models, timed in rounds in which each has its turn: what else the machine does meets all alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Rounds; in each, every model is built anew, warms up and takes an equal number of steps on the clock.
    pub rounds: usize,
    /// Steps of each model on the clock, over all rounds.
    pub steps: usize,
    /// The models, in the order in which they were named.
    pub models: Vec<StepTime>,
}

/// The training step of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// The model's name.
    pub model: String,
    /// Seconds of a step: the median over all steps on the clock.
    pub seconds: f64,
    /// The lowest of the rounds' medians.
    pub min: f64,
    /// The highest of the rounds' medians.
    pub max: f64,
}

impl Timing {
    /// The step of a model.
    pub fn of(&self, model: &str) -> Option<&StepTime> {
        self.models.iter().find(|step| step.model == model)
    }
}

impl Comparison {
    /// What its seconds of training are, in words.
    pub fn seconds_in_words(&self) -> String {
        match &self.timing {
            Some(timing) => format!(
                "timed side by side after training: median of {} steps of each model in {} rounds",
                timing.steps, timing.rounds
            ),
            None => "wall time of the runs, which depends on what else the machine did".to_owned(),
        }
    }
}
