//! What is equal for all models, and how that was made sure.

use serde::{Deserialize, Serialize};

/// What is equal for all models, and how that was made sure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// The tokenizer, in words.
    pub tokenizer: String,
    /// Hash of the tokenizer.
    pub tokenizer_hash: String,
    /// Seeds of weights, data order and dropout.
    pub seeds: Vec<u64>,
    /// Tokens of a training window, for every model.
    pub context: usize,
    /// Positions fed in an optimizer step, for every model.
    pub tokens_per_step: u64,
    /// For each seed, whether all models read the same text in the same order.
    pub data_order: Vec<DataOrder>,
    /// Whether parameters were matched.
    pub parameters: Matching,
    /// How learning rates were chosen.
    pub learning_rate: LearningRate,
    /// The schedule of the learning rate, in words.
    pub schedule: String,
    /// What choices were made on, in words: never on the test text.
    pub selection: String,
}

/// The text that the runs of one seed consumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataOrder {
    /// The seed.
    pub seed: u64,
    /// The last step up to which the orders were compared: the runs of the seed all have it.
    pub step: u64,
    /// Hash of all windows consumed up to this step, in order.
    pub hash: String,
    /// Whether every model had this hash there.
    pub equal: bool,
}

/// Whether parameters were matched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Matching {
    /// The feed-forward width was adjusted until the count is near the target.
    Matched {
        /// Parameters to match.
        target: u64,
        /// Largest relative deviation that is allowed, e.g. 0.02.
        tolerance: f64,
    },
    /// Configurations as given.
    AsGiven,
}

/// How learning rates were chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LearningRate {
    /// The configured one, the same for all unless a model's own table says otherwise.
    AsGiven,
    /// The best of a grid on the validation text, for each model by itself, at equal cost.
    Sweep {
        /// Factors on the configured learning rate.
        factors: Vec<f64>,
        /// Share of the budget that each point of the grid is trained for.
        fraction: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_words() {
        assert_eq!(serde_json::to_value(Matching::AsGiven).unwrap()["kind"], "as-given");
        assert_eq!(serde_json::to_value(LearningRate::AsGiven).unwrap()["kind"], "as-given");
    }
}
