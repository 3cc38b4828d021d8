//! How well methods search: the regret of what they have found so far against what that cost, over many seeds.

use percept_fault::{Fault, Result};
use rayon::prelude::*;
use serde::Serialize;

use crate::algorithm::Method;
use crate::incumbent::Incumbent;
use crate::search::{Halving, Search};
use crate::table::Table;

/// A search after one more trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// What all trials so far have cost, in the table's unit.
    pub cost: f64,
    /// How far the true metric of the best configuration so far ([`Incumbent`]) lies above the lowest one of the table. Before there is
    /// one, it is as bad as the worst of the table.
    pub regret: f64,
}

/// One search of a table: a step for each of `trials` trials, those of all rungs counted.
///
/// # Errors
/// Usage: a setting is out of range, or the table lacks a fraction that halving needs.
pub fn trace(table: &Table, method: &Method, halving: Halving, trials: usize, seed: u64) -> Result<Vec<Step>> {
    let mut search = Search::new(table.space().clone(), method.clone(), halving, seed)?;
    let (mut steps, mut cost, mut best) = (Vec::with_capacity(trials), 0.0, None);
    for _ in 0..trials {
        let trial = search.next();
        let before = trial.rung.checked_sub(1).map_or(0.0, |rung| halving.fraction(rung));
        let draw = percept_random::hash(&[seed, trial.number]);
        let (outcome, price) = table.look_up(&trial.point, draw, before, trial.fraction)?;
        search.tell(&trial, outcome)?;
        cost += price;
        best = Incumbent::after(best, &trial, outcome);
        let found = best.as_ref().and_then(|best| table.truth(&best.trial.point));
        steps.push(Step { cost, regret: found.unwrap_or(table.worst()) - table.best() });
    }
    Ok(steps)
}

/// Mean and standard deviation of a figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Average {
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the seeds (not of their mean).
    pub deviation: f64,
}

impl Average {
    /// Of some values, at least one.
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
    }
}

/// The searches of one method with many seeds.
///
/// ```
/// use percept_tune::{Axis, Halving, Method, Outcome, Space, Stage, Study, Table};
/// let axis = |key: &str| Axis::new(key, (0..6).map(Into::into).collect());
/// let space = Space::new(vec![axis("model.depth")?, axis("model.heads")?])?;
/// let table = Table::tabulate(space, 1, &[1.0], |point, _, fraction| Stage {
///     fraction,
///     cost: 1.0 + point[0] as f64,
///     outcome: Outcome::of((point[0] as f64 - 4.0).powi(2) + (point[1] as f64 - 1.0).powi(2)),
/// })?;
/// let study = |method| Study::run(&table, &method, Halving::default(), 20, 30);
/// let (random, tpe) = (study(Method::Random)?, study(Method::Tpe(Default::default()))?);
/// // After 20 trials, over 30 seeds.
/// assert!(tpe.after(20).mean < random.after(20).mean);
/// // And when as much was spent as ten trials cost on average.
/// assert!(tpe.at_cost(10.0 * table.mean_cost()).mean >= tpe.after(20).mean);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// The method.
    pub method: String,
    /// The steps of each seed, from 1 on.
    pub traces: Vec<Vec<Step>>,
}

impl Study {
    /// Searches `table` once for each of the seeds 1 to `seeds`, with `trials` trials each.
    ///
    /// # Errors
    /// As [`trace`]; usage: no trials or no seeds.
    pub fn run(table: &Table, method: &Method, halving: Halving, trials: usize, seeds: u64) -> Result<Self> {
        if trials == 0 || seeds == 0 {
            return Err(Fault::usage("a study of nothing").hint("take at least one trial and one seed"));
        }
        let seeds: Vec<u64> = (1..=seeds).collect();
        let traces = seeds.into_par_iter().map(|seed| trace(table, method, halving, trials, seed));
        Ok(Self { method: method.name().to_owned(), traces: traces.collect::<Result<_>>()? })
    }

    /// The regret after `trials` trials (at most as many as were run), over all seeds.
    pub fn after(&self, trials: usize) -> Average {
        let regret = |steps: &Vec<Step>| steps[trials.clamp(1, steps.len()) - 1].regret;
        Average::of(&self.traces.iter().map(regret).collect::<Vec<_>>())
    }

    /// The regret when no more than `cost` was spent, over all seeds; before the first trial has ended, its regret.
    pub fn at_cost(&self, cost: f64) -> Average {
        let regret = |steps: &Vec<Step>| steps[steps.partition_point(|step| step.cost <= cost).max(1) - 1].regret;
        Average::of(&self.traces.iter().map(regret).collect::<Vec<_>>())
    }

    /// The share of the seeds whose best configuration after `trials` trials is the best of the table.
    pub fn solved(&self, trials: usize) -> f64 {
        let solved = self.traces.iter().filter(|steps| steps[trials.clamp(1, steps.len()) - 1].regret <= 0.0);
        solved.count() as f64 / self.traces.len() as f64
    }

    /// The cost up to which every seed has searched.
    pub fn cost(&self) -> f64 {
        self.traces.iter().filter_map(|steps| steps.last()).map(|step| step.cost).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Axis, Space};
    use crate::table::Stage;
    use crate::trial::Outcome;

    /// Eight values of one key, the fifth the best; costs 3 in all, 1 of it in the first third.
    fn table() -> Table {
        let space = Space::new(vec![Axis::new("a", (0..8).map(Into::into).collect()).unwrap()]).unwrap();
        Table::tabulate(space, 1, &[1.0 / 3.0, 1.0], |point, _, fraction| Stage {
            fraction,
            cost: 3.0 * fraction,
            outcome: match point[0] {
                0 => Outcome::Failed,
                value => Outcome::of((value as f64 - 4.0).abs() - fraction),
            },
        })
        .unwrap()
    }

    #[test]
    fn regret_is_that_of_the_best_so_far_and_costs_add_up() {
        let mut first = Vec::new();
        for seed in 1..=6 {
            let steps = trace(&table(), &Method::Random, Halving::default(), 60, seed).unwrap();
            let mut search = Search::new(table().space().clone(), Method::Random, Halving::default(), seed).unwrap();
            let mut least = 3.0_f64;
            for (step, count) in steps.iter().zip(1..) {
                let trial = search.next();
                search.tell(&trial, Outcome::Failed).unwrap();
                if trial.point[0] > 0 {
                    least = least.min((trial.point[0] as f64 - 4.0).abs());
                }
                assert_eq!((step.cost, step.regret), (3.0 * f64::from(count), least));
            }
            assert_eq!(steps[59].regret, 0.0);
            first.push(steps[0].regret);
        }
        assert!(first.iter().any(|regret| *regret > 0.0), "{first:?}");
    }

    #[test]
    fn halving_pays_for_the_rest_only() {
        let steps = trace(&table(), &Method::Random, Halving { rungs: 2, factor: 3 }, 8, 3).unwrap();
        let costs: Vec<f64> = steps.iter().map(|step| step.cost).collect();
        assert_eq!(costs, [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0, 10.0]);
        assert!(trace(&table(), &Method::Random, Halving { rungs: 2, factor: 2 }, 1, 3).unwrap_err().is_usage());
    }

    #[test]
    fn averages_are_taken_over_seeds_at_trials_and_at_costs() {
        let steps =
            |pairs: &[(f64, f64)]| pairs.iter().map(|(cost, regret)| Step { cost: *cost, regret: *regret }).collect();
        let study = Study {
            method: "random".into(),
            traces: vec![steps(&[(1.0, 4.0), (3.0, 0.0)]), steps(&[(2.0, 8.0), (8.0, 2.0)])],
        };
        let average = |mean, deviation| Average { mean, deviation };
        assert_eq!((study.after(1), study.after(2)), (average(6.0, 8.0_f64.sqrt()), average(1.0, 2.0_f64.sqrt())));
        assert_eq!(study.at_cost(0.0), study.after(1));
        assert_eq!(study.at_cost(3.0), average(4.0, 32.0_f64.sqrt()));
        assert_eq!((study.solved(1), study.solved(9), study.cost()), (0.0, 0.5, 3.0));
        assert!(Study::run(&table(), &Method::Random, Halving::default(), 0, 1).unwrap_err().is_usage());
        assert!(Study::run(&table(), &Method::Random, Halving::default(), 1, 0).unwrap_err().is_usage());
    }
}
