//! REINFORCE with an autoregressive policy (arXiv 2006.00939, "Hyperparameter optimization with REINFORCE and Transformers"): actor and
//! critic, entropy, and several orders in which the axes are chosen, with shared weights. What the paper leaves open is chosen here:
//! the reward is a rank ([`super::reward`]), an order serves every so many trials, one AdamW step (without decay) follows each trial.

mod loss;
mod policy;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use percept_fault::Result;
use percept_model::ops::{self, AdamW};
use percept_model::parameters::{self, Tensors};
use percept_random::Permutation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::policy::{Policy, tensor};
use super::reward::Rewards;
use super::{Algorithm, check, foreign, written};
use crate::draws::Draws;
use crate::space::{Point, Space};
use crate::trial::Outcome;

/// Settings of REINFORCE with the attention policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReinforceSettings {
    /// Width of the policy; without normalisation, wide policies are unstable.
    pub width: usize,
    /// Blocks of the policy.
    pub blocks: usize,
    /// Orders in which the axes are chosen, in turn.
    pub orders: u64,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight of the entropy, in nats, summed over the axes.
    pub entropy: f64,
    /// Weight of the critic's squared error, summed over the axes.
    pub critic: f64,
}

impl Default for ReinforceSettings {
    fn default() -> Self {
        Self { width: 32, blocks: 1, orders: 4, learning_rate: 0.003, entropy: 0.1, critic: 0.5 }
    }
}

/// The policy while it learns.
pub(super) struct Reinforce {
    settings: ReinforceSettings,
    seed: u64,
    rewards: Rewards,
    steps: u64,
    policy: Policy,
    moments: Moments,
}

/// First and second moments of the gradients, by the path of the weight.
#[derive(Default)]
struct Moments {
    first: Tensors,
    second: Tensors,
}

/// A [`Reinforce`] as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    settings: ReinforceSettings,
    seed: u64,
    rewards: Rewards,
    steps: u64,
    weights: Numbers,
    first: Numbers,
    second: Numbers,
}

/// Elements by the path of a weight.
type Numbers = BTreeMap<String, Vec<f32>>;

fn numbers<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a Tensor<1>)>) -> Numbers {
    tensors.into_iter().map(|(path, tensor)| (path.clone(), tensor.to_data().iter::<f32>().collect())).collect()
}

impl Reinforce {
    pub(super) fn new(settings: &ReinforceSettings, space: &Space, seed: u64) -> Result<Self> {
        check((1..=256).contains(&settings.width), "reinforce", "width must be at least 1 and at most 256")?;
        check((1..=8).contains(&settings.blocks), "reinforce", "blocks must be at least 1 and at most 8")?;
        check(settings.orders > 0, "reinforce", "orders must be above 0")?;
        let rate = settings.learning_rate;
        check(rate > 0.0 && rate.is_finite(), "reinforce", "learning_rate must be above 0")?;
        let weights = [settings.entropy, settings.critic];
        check(
            weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite()),
            "reinforce",
            "entropy and critic must be at least 0",
        )?;
        Ok(Self {
            settings: settings.clone(),
            seed,
            rewards: Rewards::default(),
            steps: 0,
            policy: Policy::new(settings, space, seed),
            moments: Moments::default(),
        })
    }

    /// The policy that [`Algorithm::state`] was asked of.
    pub(super) fn resume(kept: Kept, space: &Space) -> Result<Self> {
        let mut new = Self::new(&kept.settings, space, kept.seed)?;
        let weights = parameters::collect(&new.policy);
        let fits = |numbers: &Numbers| {
            numbers
                .iter()
                .all(|(path, elements)| weights.get(path).is_some_and(|weight| weight.data.dims()[0] == elements.len()))
        };
        let pairs = kept.first.keys().eq(kept.second.keys());
        if kept.weights.len() != weights.len()
            || !pairs
            || ![&kept.weights, &kept.first, &kept.second].into_iter().all(fits)
        {
            return Err(foreign("has weights of another space"));
        }
        let device = Default::default();
        let tensors = |numbers: Numbers| -> Tensors {
            numbers.into_iter().map(|(path, elements)| (path, tensor(elements, &device))).collect()
        };
        new.policy = parameters::replace(new.policy, &tensors(kept.weights));
        new.moments = Moments { first: tensors(kept.first), second: tensors(kept.second) };
        (new.rewards, new.steps) = (kept.rewards, kept.steps);
        Ok(new)
    }

    /// The place of each axis in the order that trial `number` has.
    fn ranks(&self, space: &Space, number: u64) -> Vec<usize> {
        let axes = space.axes().len() as u64;
        let order = Permutation::new(axes, &[self.seed, number % self.settings.orders]);
        (0..axes).map(|axis| order.apply(axis) as usize).collect()
    }

    fn adamw(&self) -> AdamW {
        AdamW {
            lr: self.settings.learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            correction1: 1.0,
            correction2: 1.0,
            grad_scale: 1.0,
        }
        .at_step(self.steps)
    }
}

impl Algorithm for Reinforce {
    fn ask(&self, space: &Space, number: u64) -> Point {
        self.policy.sample(space, &self.ranks(space, number), &mut Draws::new(&[self.seed, number]))
    }

    fn tell(&mut self, space: &Space, number: u64, point: &[usize], outcome: Outcome) {
        let reward = self.rewards.of(outcome);
        let ranks = self.ranks(space, number);
        let mut gradients = loss::gradients(&self.policy, space, (point, &ranks), reward, &self.settings).0;
        self.steps += 1;
        let (adamw, Moments { first, second }) = (self.adamw(), &mut self.moments);
        self.policy = parameters::map(self.policy.clone(), |path, _, weight| {
            let Some(gradient) = gradients.remove(path) else { return weight };
            let moment = |of: &mut Tensors| of.remove(path).unwrap_or_else(|| gradient.zeros_like());
            let (m, v) = (moment(first), moment(second));
            let (weight, m, v) = ops::adamw(weight, gradient, m, v, &adamw);
            first.insert(path.to_owned(), m);
            second.insert(path.to_owned(), v);
            weight
        });
    }

    fn state(&self) -> Result<Value> {
        let weights = parameters::collect(&self.policy);
        written(&Kept {
            settings: self.settings.clone(),
            seed: self.seed,
            rewards: self.rewards.clone(),
            steps: self.steps,
            weights: numbers(weights.iter().map(|(path, weight)| (path, &weight.data))),
            first: numbers(&self.moments.first),
            second: numbers(&self.moments.second),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Axis;

    /// Three axes of 2, 3 and 4 values.
    pub(super) fn space() -> Space {
        let axis = |choices: i64| Axis::new(format!("a{choices}"), (0..choices).map(Into::into).collect()).unwrap();
        Space::new(vec![axis(2), axis(3), axis(4)]).unwrap()
    }

    pub(super) fn small() -> ReinforceSettings {
        ReinforceSettings { width: 6, blocks: 2, ..Default::default() }
    }

    /// A policy that has preferences and a critic with opinions.
    pub(super) fn random_policy(settings: &ReinforceSettings, space: &Space) -> Policy {
        let mut draws = Draws::new(&[6]);
        parameters::map(Policy::new(settings, space, 1), |_, shape, old| {
            let values = (0..shape.iter().product()).map(|_| (0.4 * draws.normal()) as f32).collect();
            tensor(values, &old.device())
        })
    }

    fn log_shares(policy: &Policy, space: &Space, point: &[usize], ranks: &[usize]) -> Vec<Vec<f64>> {
        let said: Vec<f64> = policy.distribution(space, point, ranks).log_shares.into_data().iter::<f64>().collect();
        said.chunks(4).map(<[f64]>::to_vec).collect()
    }

    #[test]
    fn an_axis_knows_those_before_it_and_no_others() {
        let (space, policy) = (space(), random_policy(&small(), &space()));
        for ranks in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
            let base = log_shares(&policy, &space, &[0, 0, 0], &ranks);
            for changed in 0..3 {
                let mut point = [0, 0, 0];
                point[changed] = 1;
                let other = log_shares(&policy, &space, &point, &ranks);
                for axis in 0..3 {
                    let moved = base[axis].iter().zip(&other[axis]).any(|(a, b)| (a - b).abs() > 1e-6);
                    assert_eq!(moved, ranks[changed] < ranks[axis], "{ranks:?}: {changed} on {axis}");
                }
            }
        }
    }

    #[test]
    fn samples_are_distributed_as_the_policy_says() {
        let (space, policy, ranks) = (space(), random_policy(&small(), &space()), [1, 2, 0]);
        let share = |point: &[usize]| {
            let said = log_shares(&policy, &space, point, &ranks);
            point.iter().zip(said).map(|(choice, said)| said[*choice]).sum::<f64>().exp()
        };
        let shares: Vec<f64> = (0..space.size()).map(|index| share(&space.point(index))).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-4);
        let (mut counts, draws) = (vec![0.0; space.size()], 1000);
        for number in 0..draws {
            counts[space.index(&policy.sample(&space, &ranks, &mut Draws::new(&[9, number])))] += 1.0;
        }
        // What is expected less than five times counts as one.
        let mut cells = vec![(0.0, 0.0)];
        for (count, share) in counts.iter().zip(&shares) {
            let expected = draws as f64 * share;
            if expected < 5.0 {
                cells[0] = (cells[0].0 + count, cells[0].1 + expected);
            } else {
                cells.push((*count, expected));
            }
        }
        cells.retain(|(_, expected)| *expected > 1.0);
        let statistic: f64 =
            cells.iter().map(|(count, expected): &(f64, f64)| (count - expected).powi(2) / expected).sum();
        // Chi-squared of 23 degrees of freedom, which are most: 49.7 is passed once in a thousand times.
        assert!(cells.len() >= 8 && statistic < 49.7, "{statistic} {cells:?}");
        assert!(shares.iter().any(|share| *share > 0.08), "{shares:?}");
    }

    #[test]
    fn orders_come_in_turn_and_differ() {
        let space = space();
        let reinforce = Reinforce::new(&ReinforceSettings { orders: 8, ..small() }, &space, 1).unwrap();
        let orders: Vec<Vec<usize>> = (0..16).map(|number| reinforce.ranks(&space, number)).collect();
        assert_eq!(orders[..8], orders[8..]);
        let different = orders.iter().collect::<std::collections::BTreeSet<_>>();
        assert!(different.len() > 2, "{different:?}");
        assert!(orders.iter().all(|order| (0..3).all(|rank| order.contains(&rank))));
    }

    /// As AdamW's first steps are, with moments corrected for their beginning at zero.
    #[test]
    fn a_trial_moves_the_weights_by_the_learning_rate_at_most() {
        let space = space();
        let mut reinforce = Reinforce::new(&small(), &space, 1).unwrap();
        let weights = |reinforce: &Reinforce| {
            let weights = parameters::collect(&reinforce.policy);
            numbers(weights.iter().map(|(path, weight)| (path, &weight.data)))
                .into_values()
                .flatten()
                .collect::<Vec<_>>()
        };
        for number in 0..2 {
            let before = weights(&reinforce);
            reinforce.tell(&space, number, &[1, 2, 3], Outcome::Finished(1.0));
            let moved = before.iter().zip(weights(&reinforce)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!((0.0028..0.0031).contains(&moved), "{number}: {moved}");
        }
    }

    #[test]
    fn at_first_all_values_are_about_as_likely() {
        let space = space();
        let policy = Policy::new(&ReinforceSettings::default(), &space, 1);
        for (said, choices) in log_shares(&policy, &space, &[1, 1, 1], &[0, 1, 2]).iter().zip([2, 3, 4]) {
            let uniform = 1.0 / f64::from(choices);
            assert!(said.iter().take(choices as usize).all(|log| (log.exp() / uniform - 1.0).abs() < 0.3), "{said:?}");
            assert!(said.iter().skip(choices as usize).all(|log| log.exp() == 0.0), "{said:?}");
        }
    }
}
