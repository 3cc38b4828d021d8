//! The tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization") over categorical
//! axes: of candidates drawn like the good configurations so far, the one that looks most unlike the others.
//!
//! On each axis, l(v) and g(v) are the smoothed shares of value v among the good and the other configurations; on a rising axis
//! a configuration counts for the neighbours of its value too. Candidates come from l; the best has the highest
//! sum over axes of log l(v) / g(v). Candidates that were tried before give way to those that were not: a good configuration that is
//! suggested again counts as good again, and soon nothing else would be.

use percept_fault::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::told::{self, Told};
use super::{Algorithm, anywhere, check, written};
use crate::draws::Draws;
use crate::space::{Axis, Order, Point, Space};
use crate::trial::Outcome;

/// What a configuration counts for each neighbour of its value, where it counts 1 for the value itself.
const NEIGHBOUR: f64 = 0.25;

/// Settings of the tree-structured Parzen estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TpeSettings {
    /// So many random configurations come first.
    pub startup: usize,
    /// The share of the configurations that counts as good.
    pub good: f64,
    /// How many candidates each suggestion is the best of.
    pub candidates: usize,
    /// How often every value counts as seen, spread over an axis.
    pub prior: f64,
}

impl Default for TpeSettings {
    fn default() -> Self {
        Self { startup: 10, good: 0.15, candidates: 24, prior: 1.0 }
    }
}

/// All that was told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tpe {
    settings: TpeSettings,
    seed: u64,
    told: Vec<Told>,
}

impl Tpe {
    pub(super) fn new(settings: &TpeSettings, seed: u64) -> Result<Self> {
        check(settings.good > 0.0 && settings.good < 1.0, "tpe", "good must lie between 0 and 1")?;
        check(settings.candidates > 0, "tpe", "candidates must be above 0")?;
        check(settings.prior > 0.0 && settings.prior.is_finite(), "tpe", "prior must be above 0")?;
        Ok(Self { settings: settings.clone(), seed, told: Vec::new() })
    }

    /// The same, if it is one of `space`.
    pub(super) fn of(self, space: &Space) -> Result<Self> {
        told::check(&self.told, space)?;
        Ok(self)
    }

    /// The good and the others; what has no metric is never good.
    fn split(&self) -> (Vec<&Point>, Vec<&Point>) {
        let mut sorted: Vec<&Told> = self.told.iter().collect();
        sorted.sort_by(|a, b| a.outcome.rank().total_cmp(&b.outcome.rank()));
        let finished = sorted.iter().filter(|told| told.outcome.value().is_some()).count();
        let good = (self.settings.good * sorted.len() as f64).ceil() as usize;
        let mut points = sorted.into_iter().map(|told| &told.point);
        (points.by_ref().take(good.min(finished)).collect(), points.collect())
    }

    /// The smoothed share of each value of an axis among some configurations.
    fn shares(&self, axis: &Axis, index: usize, points: &[&Point]) -> Vec<f64> {
        let choices = axis.choices();
        let mut counts = vec![self.settings.prior / choices as f64; choices];
        for point in points {
            let value = point[index];
            counts[value] += 1.0;
            if axis.order() == Order::Rising {
                let neighbours = [value.checked_sub(1), Some(value + 1).filter(|above| *above < choices)];
                neighbours.into_iter().flatten().for_each(|neighbour| counts[neighbour] += NEIGHBOUR);
            }
        }
        let sum: f64 = counts.iter().sum();
        counts.into_iter().map(|count| count / sum).collect()
    }
}

impl Algorithm for Tpe {
    fn ask(&self, space: &Space, number: u64) -> Point {
        let mut draws = Draws::new(&[self.seed, number]);
        let (good, others) = self.split();
        if self.told.len() < self.settings.startup || good.is_empty() {
            return anywhere(space, &mut draws);
        }
        let shares = |points: &[&Point]| {
            space.axes().iter().enumerate().map(|(index, axis)| self.shares(axis, index, points)).collect::<Vec<_>>()
        };
        let (good, others) = (shares(&good), shares(&others));
        let score = |point: &Point| -> f64 {
            point.iter().zip(good.iter().zip(&others)).map(|(value, (l, g))| (l[*value] / g[*value]).ln()).sum()
        };
        let is_new = |point: &Point| !self.told.iter().any(|told| told.point == *point);
        let mut candidate = || {
            let point: Point = good.iter().map(|shares| draws.weighted(shares)).collect();
            (is_new(&point), score(&point), point)
        };
        let first = candidate();
        let better = |a: &(bool, f64, Point), b: &(bool, f64, Point)| (a.0, a.1) > (b.0, b.1);
        let rest = (1..self.settings.candidates).map(|_| candidate());
        rest.fold(first, |best, other| if better(&other, &best) { other } else { best }).2
    }

    fn tell(&mut self, _space: &Space, _number: u64, point: &[usize], outcome: Outcome) {
        self.told.push(Told { point: point.to_vec(), outcome });
    }

    fn state(&self) -> Result<Value> {
        written(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[(usize, Outcome)]) -> Tpe {
        let mut tpe = Tpe::new(&TpeSettings { good: 0.4, ..Default::default() }, 1).unwrap();
        tpe.told = values.iter().map(|(value, outcome)| Told { point: vec![*value], outcome: *outcome }).collect();
        tpe
    }

    #[test]
    fn the_good_are_the_best_share_and_have_a_metric() {
        let tpe = told(&[
            (0, Outcome::Finished(3.0)),
            (1, Outcome::Failed),
            (2, Outcome::Finished(1.0)),
            (3, Outcome::Diverged),
            (4, Outcome::Finished(2.0)),
        ]);
        let (good, others) = tpe.split();
        assert_eq!((good, others), (vec![&vec![2], &vec![4]], vec![&vec![0], &vec![1], &vec![3]]));
        let failed = told(&[(0, Outcome::Failed), (1, Outcome::Finished(2.0)), (2, Outcome::Failed)]);
        assert_eq!(failed.split().0, [&vec![1]]);
        assert!(told(&[(0, Outcome::Failed)]).split().0.is_empty());
    }

    #[test]
    fn what_was_tried_gives_way_while_there_is_anything_else() {
        let space = Space::new(vec![Axis::new("a", (0..4).map(Into::into).collect()).unwrap()]).unwrap();
        let mut tpe = Tpe::new(&TpeSettings { startup: 0, candidates: 200, ..Default::default() }, 1).unwrap();
        for number in 0..4 {
            let point = tpe.ask(&space, number);
            tpe.tell(&space, number, &point, Outcome::Finished((point[0] as f64 - 2.0).abs()));
        }
        let mut tried: Vec<usize> = tpe.told.iter().map(|told| told.point[0]).collect();
        tried.sort();
        assert_eq!(tried, [0, 1, 2, 3]);
        assert_eq!(tpe.ask(&space, 4), [2]);
    }

    #[test]
    fn shares_count_neighbours_on_rising_axes_only() {
        let tpe = told(&[]);
        let points = [&vec![0], &vec![2]];
        // 1/4 for every value, 1 for those seen, 1/4 for each of their neighbours: 3.75 in all.
        let rising = Axis::new("a", (0..4).map(Into::into).collect()).unwrap();
        assert_eq!(tpe.shares(&rising, 0, &points), [1.25, 0.75, 1.25, 0.5].map(|count| count / 3.75));
        let names = Axis::new("a", ["x", "y", "z", "w"].map(Into::into).to_vec()).unwrap();
        assert_eq!(tpe.shares(&names, 0, &points), [1.25, 0.25, 1.25, 0.25].map(|count| count / 3.0));
    }
}
