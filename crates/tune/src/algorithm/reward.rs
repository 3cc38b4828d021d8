//! What a policy is rewarded with: how much of all told so far a trial beats.
//!
//! Metrics have any scale, and a bad learning rate gives one far off; a share lies in [0, 1] for all of them, as the
//! accuracies did that the published policies were rewarded with.

use serde::{Deserialize, Serialize};

use crate::trial::Outcome;

/// The metrics of all trials told, in rising order, and how many had none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rewards {
    sorted: Vec<f64>,
    without: usize,
}

impl Rewards {
    /// Notes an outcome, and gives its reward: the share of all so far, itself included, that are worse, equals counting one
    /// half; 0 without a metric.
    pub(super) fn of(&mut self, outcome: Outcome) -> f64 {
        let Some(value) = outcome.value() else {
            self.without += 1;
            return 0.0;
        };
        let above = self.sorted.partition_point(|other| *other <= value);
        self.sorted.insert(above, value);
        let below = self.sorted.partition_point(|other| *other < value);
        let (equal, worse) = (above + 1 - below, self.sorted.len() - above - 1 + self.without);
        (worse as f64 + 0.5 * equal as f64) / (self.sorted.len() + self.without) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_is_the_share_that_is_beaten() {
        let mut rewards = Rewards::default();
        let mut of = |value| rewards.of(Outcome::Finished(value));
        assert_eq!([of(2.0), of(3.0), of(1.0), of(2.0)], [0.5, 0.25, 2.5 / 3.0, 0.5]);
        assert_eq!([Outcome::Failed, Outcome::Diverged].map(|outcome| rewards.of(outcome)), [0.0, 0.0]);
        // Worse than all with a metric, better than those without.
        assert_eq!(rewards.of(Outcome::Finished(9.0)), 2.5 / 7.0);
    }
}
