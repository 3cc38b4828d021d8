//! Which keys matter: main effects of a functional ANOVA.
//!
//! The metric is taken as a sum over the axes, y = m + sum_i f_i(x_i), plus a rest (interactions, noise). As in functional ANOVA (Hutter,
//! Hoos and Leyton-Brown 2014) an axis matters as much as f_i varies over its values, all of them equally likely; their forest, which
//! sees interactions too, is a least-squares fit here, since searches have some dozen trials. All f_i are fitted together: a search
//! does not try values independently of each other, and the mean metric of a value alone would blame one key for another.

use serde::{Deserialize, Serialize};

use crate::space::{Point, Space};

/// Trials of metric m + f_i = m that every value counts as seen with: what was tried once says little.
const PRIOR: f64 = 0.5;
/// Sweeps of the fit at most; it converges in a few where trials are many, and slowly where keys go together.
const SWEEPS: usize = 1000;

/// What an axis contributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The key.
    pub key: String,
    /// The share of the variance that it explains alone.
    pub share: f64,
    /// For each of its values the mean metric there, all other keys being equal; none for a value that no trial had.
    pub means: Vec<Option<f64>>,
}

/// Shares of the variance of a metric over a space; they add up to 1 with the rest.
///
/// ```
/// use percept_tune::{Axis, MainEffects, Space};
/// let axis = |key: &str| Axis::new(key, (0..4).map(Into::into).collect());
/// let space = Space::new(vec![axis("model.depth")?, axis("model.heads")?])?;
/// let trials: Vec<_> = (0..16).map(|index| space.point(index)).map(|point| {
///     let metric = 3.0 * point[0] as f64 + point[1] as f64;
///     (point, metric)
/// }).collect();
/// let effects = MainEffects::of(&space, &trials).unwrap();
/// // Slopes of 3 and 1: variances of 9 to 1.
/// assert_eq!((effects.keys[0].share / effects.keys[1].share).round(), 9.0);
/// assert!(effects.rest < 0.02);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MainEffects {
    /// Each axis, in the order of the space.
    pub keys: Vec<Effect>,
    /// The share that no key explains alone: keys that matter together, seeds, and what the fit misses.
    pub rest: f64,
    /// How many trials tell this.
    pub trials: usize,
}

impl MainEffects {
    /// The effects that some trials with a metric tell, all of the same budget. `None` where their metrics are equal, or there are
    /// fewer than two.
    pub fn of(space: &Space, trials: &[(Point, f64)]) -> Option<Self> {
        let fit = Fit::of(space, trials)?;
        let spread = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64
        };
        let variances: Vec<f64> = fit.axes.iter().map(|axis| spread(&axis.seen().collect::<Vec<_>>())).collect();
        let rest = fit.rest.iter().map(|rest| rest * rest).sum::<f64>() / fit.rest.len() as f64;
        let whole = variances.iter().sum::<f64>() + rest;
        if whole <= 0.0 {
            return None;
        }
        let effect = |(axis, (fitted, variance)): (&crate::space::Axis, (&FittedAxis, &f64))| Effect {
            key: axis.key().to_owned(),
            share: variance / whole,
            means: fitted.effects().map(|effect| effect.map(|effect| fit.mean + effect)).collect(),
        };
        let keys = space.axes().iter().zip(fit.axes.iter().zip(&variances)).map(effect).collect();
        Some(Self { keys, rest: rest / whole, trials: trials.len() })
    }
}

/// An additive model of the metric.
struct Fit {
    mean: f64,
    axes: Vec<FittedAxis>,
    /// What it leaves of each trial.
    rest: Vec<f64>,
}

struct FittedAxis {
    /// f_i of each value.
    values: Vec<f64>,
    /// How many trials had it.
    counts: Vec<usize>,
}

impl FittedAxis {
    fn effects(&self) -> impl Iterator<Item = Option<f64>> {
        self.values.iter().zip(&self.counts).map(|(value, count)| (*count > 0).then_some(*value))
    }

    fn seen(&self) -> impl Iterator<Item = f64> {
        self.effects().flatten()
    }

    /// Fits this axis to what the others leave of each trial; gives how far it moved.
    fn refit(&mut self, chosen: impl Fn(usize) -> usize, rest: &mut [f64]) -> f64 {
        let mut sums = vec![0.0; self.values.len()];
        for (trial, rest) in rest.iter().enumerate() {
            sums[chosen(trial)] += rest + self.values[chosen(trial)];
        }
        let new: Vec<f64> = sums.iter().zip(&self.counts).map(|(sum, count)| sum / (*count as f64 + PRIOR)).collect();
        for (trial, rest) in rest.iter_mut().enumerate() {
            *rest -= new[chosen(trial)] - self.values[chosen(trial)];
        }
        let moved = new.iter().zip(&self.values).map(|(new, old)| (new - old).abs()).fold(0.0, f64::max);
        self.values = new;
        moved
    }
}

impl Fit {
    /// Backfitting: mean and axes in turn, each fitted to what the others leave, with [`PRIOR`].
    fn of(space: &Space, trials: &[(Point, f64)]) -> Option<Self> {
        let (first, others) = trials.split_first()?;
        let range = others.iter().map(|(_, metric)| (metric - first.1).abs()).fold(0.0, f64::max);
        if range <= 0.0 || !range.is_finite() {
            return None;
        }
        let mut axes: Vec<FittedAxis> = Vec::new();
        for (index, axis) in space.axes().iter().enumerate() {
            let mut counts = vec![0; axis.choices()];
            trials.iter().for_each(|(point, _)| counts[point[index]] += 1);
            axes.push(FittedAxis { values: vec![0.0; axis.choices()], counts });
        }
        let (mut mean, mut rest) = (0.0, trials.iter().map(|(_, metric)| *metric).collect::<Vec<f64>>());
        for _ in 0..SWEEPS {
            let step = rest.iter().sum::<f64>() / rest.len() as f64;
            mean += step;
            rest.iter_mut().for_each(|rest| *rest -= step);
            let moves =
                axes.iter_mut().enumerate().map(|(index, axis)| axis.refit(|at| trials[at].0[index], &mut rest));
            if moves.fold(step.abs(), f64::max) < 1e-9 * range {
                break;
            }
        }
        Some(Self { mean, axes, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Axis;

    fn space(choices: &[i64]) -> Space {
        let axis = |(index, choices): (usize, &i64)| {
            Axis::new(format!("a{index}"), (0..*choices).map(Into::into).collect()).unwrap()
        };
        Space::new(choices.iter().enumerate().map(axis).collect()).unwrap()
    }

    fn whole(space: &Space, metric: impl Fn(&[usize]) -> f64) -> Vec<(Point, f64)> {
        (0..space.size()).map(|index| space.point(index)).map(|point| (point.clone(), metric(&point))).collect()
    }

    fn shares(effects: &MainEffects) -> Vec<f64> {
        effects.keys.iter().map(|key| (100.0 * key.share).round()).collect()
    }

    #[test]
    fn what_keys_do_together_is_the_rest() {
        let space = space(&[2, 2, 5]);
        // An exclusive or of the first two, and a slope in the third: variances of 1/4 and of 2/8.
        let effects = MainEffects::of(
            &space,
            &whole(&space, |point| (point[0] ^ point[1]) as f64 + 8.0_f64.sqrt().recip() * point[2] as f64),
        )
        .unwrap();
        let sum: f64 = effects.keys.iter().map(|key| key.share).sum();
        assert!((sum + effects.rest - 1.0).abs() < 1e-12);
        assert_eq!((shares(&effects)[..2].to_vec(), effects.trials), (vec![0.0, 0.0], 20));
        assert!((effects.rest - 0.5).abs() < 0.07, "{effects:?}");
    }

    #[test]
    fn a_key_is_not_blamed_for_another_that_it_went_with() {
        let space = space(&[4, 4]);
        // Trials along the diagonal and some beside it; the second key alone matters, which is fitted after the first.
        let trials: Vec<(Point, f64)> = whole(&space, |point| point[1] as f64)
            .into_iter()
            .filter(|(point, _)| point[0].abs_diff(point[1]) <= 1)
            .flat_map(|trial| std::iter::repeat_n(trial, 20))
            .collect();
        let effects = MainEffects::of(&space, &trials).unwrap();
        assert!(effects.keys[1].share > 0.95, "{effects:?}");
        let means: Vec<f64> = effects.keys[1].means.iter().flatten().copied().collect();
        assert!((means[3] - means[0] - 3.0).abs() < 0.2, "{means:?}");
    }

    #[test]
    fn what_was_not_tried_has_no_mean_and_no_part() {
        let space = space(&[3, 2]);
        let trials = vec![(vec![0, 0], 1.0), (vec![2, 0], 2.0), (vec![0, 0], 1.0), (vec![2, 0], 2.0)];
        let effects = MainEffects::of(&space, &trials).unwrap();
        assert_eq!((effects.keys[0].means[1], effects.keys[1].means[1]), (None, None));
        assert!(effects.keys[0].share > 0.8 && effects.keys[1].share < 1e-9, "{effects:?}");
    }

    #[test]
    fn equal_metrics_tell_nothing() {
        let space = space(&[2]);
        let of = |trials: &[f64]| {
            MainEffects::of(&space, &trials.iter().map(|metric| (vec![0], *metric)).collect::<Vec<_>>())
        };
        assert_eq!((of(&[]), of(&[1.0]), of(&[1.0, 1.0])), (None, None, None));
        // Another metric at the same point is noise.
        assert!(of(&[1.0, 2.0]).unwrap().rest > 0.99);
    }
}
