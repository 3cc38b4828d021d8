//! What the policy is trained on: actor and critic, with a reward for being undecided.

use burn::tensor::{Tensor, TensorData};
use percept_model::Gradients;

use super::ReinforceSettings;
use super::policy::Policy;
use crate::space::Space;

/// Gradients of the loss of one configuration with the reward R, over its axes i with the value V_i before each:
///
/// ```text
/// sum of  -(R - V_i) log pi(x_i | before)  -  entropy H_i  +  critic (R - V_i)^2
/// ```
///
/// R - V_i is a constant in the first term.
pub(super) fn gradients(
    policy: &Policy,
    space: &Space,
    (point, ranks): (&[usize], &[usize]),
    reward: f64,
    settings: &ReinforceSettings,
) -> Gradients {
    let said = policy.distribution(space, point, ranks);
    let [axes, most] = said.log_shares.dims();
    let chosen: Vec<f32> =
        point.iter().flat_map(|choice| (0..most).map(move |value| if value == *choice { 1.0 } else { 0.0 })).collect();
    let chosen = Tensor::<2>::from_data(TensorData::new(chosen, [axes, most]), &said.log_shares.device());
    let log_share = (said.log_shares.clone() * chosen).sum_dim(1).reshape([axes]);
    let entropy = (said.log_shares.clone().exp() * said.log_shares).sum() * -1.0;
    let advantage = said.values * -1.0 + reward as f32;
    let actor = (advantage.clone().detach() * log_share).sum() * -1.0;
    let critic = (advantage.clone() * advantage).sum();
    let loss = actor - entropy * settings.entropy as f32 + critic * settings.critic as f32;
    let mut gradients = Gradients::default();
    gradients.collect(policy, "", &mut loss.backward());
    gradients
}

#[cfg(test)]
mod tests {
    use percept_model::parameters::{self, Tensors};

    use super::super::policy::tensor;
    use super::super::tests::{random_policy, space};
    use super::*;

    /// All configurations with their rewards.
    fn rewards(space: &Space) -> Vec<(Vec<usize>, f64)> {
        (0..space.size()).map(|index| (space.point(index), ((index * 7 + 3) % 11) as f64 / 11.0)).collect()
    }

    fn share(policy: &Policy, space: &Space, point: &[usize], ranks: &[usize]) -> f64 {
        let log_shares: Vec<f64> =
            policy.distribution(space, point, ranks).log_shares.into_data().iter::<f64>().collect();
        let most = log_shares.len() / point.len();
        point.iter().enumerate().map(|(axis, choice)| log_shares[axis * most + choice]).sum::<f64>().exp()
    }

    fn values(tensor: &Tensor<1>) -> Vec<f32> {
        tensor.to_data().iter::<f32>().collect()
    }

    /// The expected gradient over all configurations is that of the expected reward, by finite differences: whatever the critic says
    /// (its weights are random here), for it knows only what came before.
    #[test]
    fn the_expected_gradient_is_that_of_the_expected_reward() {
        let (space, settings) =
            (space(), ReinforceSettings { entropy: 0.0, critic: 0.0, ..super::super::tests::small() });
        let (policy, ranks) = (random_policy(&settings, &space), [1, 2, 0]);
        let mut expected = std::collections::BTreeMap::<String, Vec<f64>>::new();
        for (point, reward) in rewards(&space) {
            let weight = share(&policy, &space, &point, &ranks);
            for (path, gradient) in gradients(&policy, &space, (&point, &ranks), reward, &settings).0 {
                let sum = expected.entry(path).or_insert_with(|| vec![0.0; gradient.dims()[0]]);
                sum.iter_mut().zip(values(&gradient)).for_each(|(sum, value)| *sum -= weight * f64::from(value));
            }
        }
        let mean = |policy: &Policy| -> f64 {
            rewards(&space).iter().map(|(point, reward)| share(policy, &space, point, &ranks) * reward).sum()
        };
        let (mut checked, mut largest) = (0, 0.0_f64);
        for (path, weight) in parameters::collect(&policy) {
            let Some(expected) = expected.get(&path) else { continue };
            for index in (0..expected.len()).step_by(expected.len().div_ceil(6)) {
                let moved = |by: f32| {
                    let mut elements = values(&weight.data);
                    elements[index] += by;
                    let changed = Tensors::from([(path.clone(), tensor(elements, &weight.data.device()))]);
                    mean(&parameters::replace(policy.clone(), &changed))
                };
                let difference = (moved(0.005) - moved(-0.005)) / 0.01;
                let error = (difference - expected[index]).abs();
                assert!(error < 3e-4 + 0.02 * difference.abs(), "{path}[{index}]: {} {difference}", expected[index]);
                (checked, largest) = (checked + 1, largest.max(difference.abs()));
            }
        }
        assert!(checked > 40 && largest > 0.02, "{checked} {largest}");
    }

    /// The gradient of the entropy and the critic's, each against a finite difference of its term.
    #[test]
    fn the_other_terms_have_their_gradients() {
        let (space, ranks, point) = (space(), [1, 2, 0], [1, 0, 2]);
        let both = |entropy, critic| ReinforceSettings { entropy, critic, ..super::super::tests::small() };
        let policy = random_policy(&both(0.0, 0.0), &space);
        // What a term adds to the gradient of one weight, where it adds most; and which element that is.
        let slope = |settings: &ReinforceSettings, path: &str| {
            let of = |settings| gradients(&policy, &space, (&point, &ranks), 0.4, settings).0.remove(path);
            let with = values(&of(settings).unwrap());
            let without = of(&both(0.0, 0.0)).map_or_else(|| vec![0.0; with.len()], |slope| values(&slope));
            let slopes = with.iter().zip(&without).map(|(a, b)| f64::from(a - b));
            slopes.enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap()
        };
        let difference = |path: &str, index: usize, term: &dyn Fn(&Policy) -> f64| {
            let moved = |by: f32| {
                let weight = parameters::collect(&policy).remove(path).unwrap().data;
                let mut elements = values(&weight);
                elements[index] += by;
                let changed = Tensors::from([(path.into(), tensor(elements, &weight.device()))]);
                term(&parameters::replace(policy.clone(), &changed))
            };
            (moved(0.005) - moved(-0.005)) / 0.01
        };
        let entropy = |policy: &Policy| {
            let said = policy.distribution(&space, &point, &ranks).log_shares.into_data();
            said.iter::<f64>().map(|log| log.exp() * log).sum::<f64>()
        };
        let critic = |policy: &Policy| {
            let said = policy.distribution(&space, &point, &ranks).values.into_data();
            said.iter::<f64>().map(|value| (0.4 - value).powi(2)).sum::<f64>()
        };
        for path in ["queries", "heads", "blocks.0.values.weight"] {
            let (index, a) = slope(&both(2.0, 0.0), path);
            let b = 2.0 * difference(path, index, &entropy);
            assert!((a - b).abs() < 1e-3 + 0.02 * b.abs() && b.abs() > 0.01, "{path}: {a} {b}");
        }
        for path in ["queries", "value.weight", "blocks.0.up.weight"] {
            let (index, a) = slope(&both(0.0, 0.5), path);
            let b = 0.5 * difference(path, index, &critic);
            assert!((a - b).abs() < 1e-3 + 0.02 * b.abs() && b.abs() > 0.01, "{path}: {a} {b}");
        }
    }
}
