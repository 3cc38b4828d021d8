//! REINFORCE (Williams 1992) with logits of its own for each axis, after the code of the tabular benchmarks (automl/nas_benchmarks,
//! `run_rl.py`): logits begin at 0; for a reward R and a baseline b, an average of the rewards before it that forgets,
//!
//! ```text
//! logits += learning_rate (R - b) grad log pi(point),   d log pi / d logit_v = [v chosen] - pi(v)
//! ```

use percept_fault::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reward::Rewards;
use super::{Algorithm, check, foreign, written};
use crate::draws::Draws;
use crate::space::{Point, Space};
use crate::trial::Outcome;

/// Settings of REINFORCE with independent logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IndependentSettings {
    /// Factor of the gradient.
    pub learning_rate: f64,
    /// How much of the baseline stays at each trial.
    pub momentum: f64,
}

impl Default for IndependentSettings {
    fn default() -> Self {
        Self { learning_rate: 0.1, momentum: 0.9 }
    }
}

/// Logits and baseline.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Independent {
    settings: IndependentSettings,
    seed: u64,
    /// Of each value of each axis.
    logits: Vec<Vec<f64>>,
    rewards: Rewards,
    /// The average so far, before it is corrected for its beginning at 0.
    average: f64,
    steps: u32,
}

impl Independent {
    pub(super) fn new(settings: &IndependentSettings, space: &Space, seed: u64) -> Result<Self> {
        let rate = settings.learning_rate;
        check(rate > 0.0 && rate.is_finite(), "independent", "learning_rate must be above 0")?;
        check((0.0..1.0).contains(&settings.momentum), "independent", "momentum must be at least 0 and below 1")?;
        let logits = space.axes().iter().map(|axis| vec![0.0; axis.choices()]).collect();
        Ok(Self { settings: settings.clone(), seed, logits, rewards: Rewards::default(), average: 0.0, steps: 0 })
    }

    /// The same, if it is one of `space`.
    pub(super) fn of(self, space: &Space) -> Result<Self> {
        let fits = space.axes().iter().map(|axis| axis.choices()).eq(self.logits.iter().map(Vec::len));
        if fits { Ok(self) } else { Err(foreign("has logits of another space")) }
    }

    /// The average reward; one half, which is what shares average to, before the first.
    fn baseline(&self) -> f64 {
        if self.steps == 0 { 0.5 } else { self.average / (1.0 - self.settings.momentum.powf(f64::from(self.steps))) }
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The gradient of the logarithm of the share of value `chosen`.
fn score(logits: &[f64], chosen: usize) -> Vec<f64> {
    let indicator = |value| if value == chosen { 1.0 } else { 0.0 };
    softmax(logits).into_iter().enumerate().map(|(value, share)| indicator(value) - share).collect()
}

impl Algorithm for Independent {
    fn ask(&self, _space: &Space, number: u64) -> Point {
        let mut draws = Draws::new(&[self.seed, number]);
        self.logits.iter().map(|logits| draws.weighted(&softmax(logits))).collect()
    }

    fn tell(&mut self, _space: &Space, _number: u64, point: &[usize], outcome: Outcome) {
        let reward = self.rewards.of(outcome);
        let step = self.settings.learning_rate * (reward - self.baseline());
        for (logits, chosen) in self.logits.iter_mut().zip(point) {
            let score = score(logits, *chosen);
            logits.iter_mut().zip(score).for_each(|(logit, slope)| *logit += step * slope);
        }
        self.average = self.settings.momentum * self.average + (1.0 - self.settings.momentum) * reward;
        self.steps += 1;
    }

    fn state(&self) -> Result<Value> {
        written(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Axis;

    #[test]
    fn the_score_is_the_gradient_of_the_logarithm() {
        let logits = [0.3, -1.2, 2.0];
        let log = |logits: &[f64]| softmax(logits)[1].ln();
        for (value, slope) in score(&logits, 1).into_iter().enumerate() {
            let moved = |by: f64| {
                let mut logits = logits;
                logits[value] += by;
                log(&logits)
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - difference).abs() < 1e-8, "{value}: {slope} {difference}");
        }
    }

    #[test]
    fn a_step_goes_as_far_as_the_reward_differs_from_the_baseline() {
        let space = Space::new(vec![Axis::new("a", vec![1.into(), 2.into()]).unwrap()]).unwrap();
        let mut policy = Independent::new(&IndependentSettings::default(), &space, 1).unwrap();
        // The first reward is one half, as the baseline: nothing moves.
        policy.tell(&space, 0, &[0], Outcome::Finished(1.0));
        assert_eq!((policy.logits[0].clone(), policy.baseline()), (vec![0.0, 0.0], 0.5));
        // 3/4 against 1/2; half of 0.1 * 1/4 for each value.
        policy.tell(&space, 1, &[1], Outcome::Finished(0.5));
        let expected = [-0.0125, 0.0125];
        assert!(policy.logits[0].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{:?}", policy.logits);
        // (0.9 * 0.05 + 0.1 * 0.75) / (1 - 0.81)
        assert!((policy.baseline() - 0.12 / 0.19).abs() < 1e-12, "{}", policy.baseline());
    }
}
