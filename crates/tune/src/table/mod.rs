//! A table of evaluated configurations, in which searches can be repeated at no cost.

mod file;

use std::path::Path;

use percept_fault::{Fault, Result};

use crate::space::Space;
use crate::trial::Outcome;

/// A configuration after a share of the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// The share of the whole budget.
    pub fraction: f64,
    /// What it had cost by then, in any unit: seconds, operations.
    pub cost: f64,
    /// What came of it.
    pub outcome: Outcome,
}

/// Every point of a space, evaluated with one or more seeds, each at rising shares of a budget.
///
/// ```
/// use percept_tune::{Axis, Outcome, Space, Stage, Table};
/// let values = [1, 2, 4].map(Into::into).to_vec();
/// let space = Space::new(vec![Axis::new("model.depth", values)?])?;
/// let table = Table::tabulate(space.clone(), 2, &[0.5, 1.0], |point, seed, fraction| Stage {
///     fraction,
///     cost: 10.0 * fraction,
///     outcome: Outcome::of(point[0] as f64 - fraction + 0.5 * seed as f64),
/// })?;
/// // The mean over the seeds; the best of all points is the first.
/// assert_eq!((table.truth(&[2]), table.best()), (Some(1.25), -0.75));
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("depth.csv.zst");
/// table.write(&path)?;
/// assert_eq!(Table::read(&path, space)?, table);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    space: Space,
    /// By the number of the point and the seed: stages at rising fractions, the last of which is 1.
    runs: Vec<Vec<Vec<Stage>>>,
    best: f64,
    worst: f64,
}

impl Table {
    /// The table of a function of point, seed (from 0) and fraction.
    ///
    /// # Errors
    /// Usage: no seeds, fractions that don't rise to 1, costs that fall, a metric that is not finite, or no point that finishes.
    pub fn tabulate(
        space: Space,
        seeds: usize,
        fractions: &[f64],
        mut stage: impl FnMut(&[usize], usize, f64) -> Stage,
    ) -> Result<Self> {
        let runs = (0..space.size()).map(|index| {
            let point = space.point(index);
            (0..seeds).map(|seed| fractions.iter().map(|fraction| stage(&point, seed, *fraction)).collect()).collect()
        });
        let runs = runs.collect();
        Self::of(space, runs)
    }

    /// Reads a table that [`Table::write`] wrote: CSV, compressed by Zstandard.
    ///
    /// # Errors
    /// Environment: the file cannot be read. Usage: it is no table of this space; the message names the line.
    pub fn read(path: &Path, space: Space) -> Result<Self> {
        let runs = file::read(path, &space)?;
        Self::of(space, runs).map_err(|fault| fault.at(&format!("{}: ", path.display())))
    }

    /// Writes the table as CSV, compressed by Zstandard: a line for each point, seed and fraction, with the values of the keys as
    /// TOML, the cost, what came of it (finished, diverged, failed) and the metric.
    ///
    /// # Errors
    /// Environment: the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(self, path)
    }

    fn of(space: Space, runs: Vec<Vec<Vec<Stage>>>) -> Result<Self> {
        runs.iter().enumerate().try_for_each(|(index, seeds)| {
            check(seeds).map_err(|what| {
                let point = space.point(index);
                let values: Vec<String> = space.values(&point).map(|(key, value)| format!("{key} = {value}")).collect();
                Fault::usage(format!("{}: {what}", values.join(", ")))
                    .hint("a table has every point of its space, with the same fractions of every seed")
            })
        })?;
        let truths: Vec<f64> = runs.iter().filter_map(|seeds| mean(seeds)).collect();
        let (best, worst) = (truths.iter().copied().reduce(f64::min), truths.iter().copied().reduce(f64::max));
        let (Some(best), Some(worst)) = (best, worst) else {
            return Err(Fault::usage("no point of the table finished").hint("a table needs a metric at fraction 1"));
        };
        Ok(Self { space, runs, best, worst })
    }

    /// What was tabulated.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The metric of a point: the mean over the seeds that finished at the whole budget; `None` where none did.
    pub fn truth(&self, point: &[usize]) -> Option<f64> {
        mean(&self.runs[self.space.index(point)])
    }

    /// The lowest metric of all points.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// The highest metric of all points that finished.
    pub fn worst(&self) -> f64 {
        self.worst
    }

    /// The mean cost of the whole budget, over all points and seeds.
    pub fn mean_cost(&self) -> f64 {
        let costs: Vec<f64> = self.runs.iter().flatten().filter_map(|run| run.last()).map(|stage| stage.cost).collect();
        costs.iter().sum::<f64>() / costs.len() as f64
    }

    /// What a trial of a point gives at a fraction, and what it costs from the fraction `before` on; `draw` chooses the seed.
    ///
    /// # Errors
    /// Usage: the table has no such fraction.
    pub fn look_up(&self, point: &[usize], draw: u64, before: f64, fraction: f64) -> Result<(Outcome, f64)> {
        let seeds = &self.runs[self.space.index(point)];
        let run = &seeds[percept_random::below(seeds.len() as u64, &[draw]) as usize];
        let at = |fraction: f64| run.iter().find(|stage| (stage.fraction - fraction).abs() < 1e-6);
        let stage = at(fraction).ok_or_else(|| {
            let fractions: Vec<String> = run.iter().map(|stage| stage.fraction.to_string()).collect();
            Fault::usage(format!("the table has no fraction {fraction}"))
                .hint(format!("it has {}: take halving with those", fractions.join(", ")))
        })?;
        Ok((stage.outcome, stage.cost - at(before).map_or(0.0, |stage| stage.cost)))
    }
}

/// What is wrong with the runs of a point.
fn check(seeds: &[Vec<Stage>]) -> Result<(), &'static str> {
    if seeds.is_empty() {
        return Err("it was not evaluated");
    }
    for run in seeds {
        if run.last().is_none_or(|stage| stage.fraction != 1.0) {
            return Err("the last fraction is not 1");
        }
        let rising = run.is_sorted_by(|a, b| a.fraction < b.fraction && a.cost <= b.cost);
        let sound = |stage: &Stage| stage.fraction > 0.0 && stage.cost >= 0.0 && stage.cost.is_finite();
        if !rising || !run.iter().all(sound) {
            return Err("fractions must rise from above 0, and costs must not fall");
        }
        if run.iter().any(|stage| stage.outcome.value().is_some_and(|value| !value.is_finite())) {
            return Err("a metric is not finite");
        }
        if !run.iter().map(|stage| stage.fraction).eq(seeds[0].iter().map(|stage| stage.fraction)) {
            return Err("its seeds have different fractions");
        }
    }
    Ok(())
}

/// The mean metric of the seeds that finished.
fn mean(seeds: &[Vec<Stage>]) -> Option<f64> {
    let values: Vec<f64> = seeds.iter().filter_map(|run| run.last()?.outcome.value()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Axis;

    /// Two axes of 2 and 3 values.
    pub(super) fn space() -> Space {
        let axis = |key: &str, values: &[i64]| Axis::new(key, values.iter().map(|value| (*value).into()).collect());
        Space::new(vec![axis("model.depth", &[2, 4]).unwrap(), axis("model.dim", &[16, 32, 64]).unwrap()]).unwrap()
    }

    /// One point fails, one has a seed that diverges.
    pub(super) fn table() -> Table {
        Table::tabulate(space(), 2, &[0.25, 1.0], |point, seed, fraction| Stage {
            fraction,
            cost: fraction * (1.0 + point[1] as f64),
            outcome: match (point, seed) {
                ([0, 0], _) => Outcome::Failed,
                ([1, 1], 1) => Outcome::Diverged,
                _ => Outcome::of(4.0 - point[0] as f64 - 0.25 * point[1] as f64 - fraction + 0.5 * seed as f64),
            },
        })
        .unwrap()
    }

    #[test]
    fn the_truth_is_the_mean_of_what_finished() {
        let table = table();
        assert_eq!(table.truth(&[0, 0]), None);
        assert_eq!((table.truth(&[0, 1]), table.truth(&[1, 1])), (Some(3.0), Some(1.75)));
        assert_eq!((table.truth(&[1, 2]), table.best(), table.worst()), (Some(1.75), 1.75, 3.0));
        assert_eq!(table.mean_cost(), 2.0);
    }

    #[test]
    fn a_trial_has_one_seed_and_pays_for_what_is_new() {
        let table = table();
        let (mut seen, point) = (std::collections::BTreeSet::new(), [1, 2]);
        for draw in 0..20 {
            let (early, first) = table.look_up(&point, draw, 0.0, 0.25).unwrap();
            let (late, second) = table.look_up(&point, draw, 0.25, 1.0).unwrap();
            assert_eq!((first, second), (0.75, 2.25));
            assert_eq!(early.value().unwrap() - late.value().unwrap(), 0.75);
            seen.insert(late.value().unwrap().to_string());
        }
        assert_eq!(Vec::from_iter(seen), ["1.5", "2"]);
        let fault = table.look_up(&point, 0, 0.0, 0.5).unwrap_err();
        assert_eq!((fault.to_string().as_str(), fault.is_usage()), ("the table has no fraction 0.5", true));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let refused = |seeds: usize, fractions: &[f64], change: fn(&mut Stage)| {
            let table = Table::tabulate(space(), seeds, fractions, |_, _, fraction| {
                let mut stage = Stage { fraction, cost: fraction, outcome: Outcome::Finished(1.0) };
                change(&mut stage);
                stage
            });
            table.unwrap_err().to_string()
        };
        let point = "model.depth = 2, model.dim = 16: ";
        assert_eq!(refused(0, &[1.0], |_| ()), format!("{point}it was not evaluated"));
        assert_eq!(refused(1, &[], |_| ()), format!("{point}the last fraction is not 1"));
        assert_eq!(refused(1, &[0.5], |_| ()), format!("{point}the last fraction is not 1"));
        let rise = format!("{point}fractions must rise from above 0, and costs must not fall");
        assert_eq!(refused(1, &[0.5, 0.25, 1.0], |_| ()), rise);
        assert_eq!(refused(1, &[0.0, 1.0], |_| ()), rise);
        assert_eq!(refused(1, &[0.5, 1.0], |stage| stage.cost = 2.0 - stage.cost), rise);
        assert_eq!(refused(1, &[1.0], |stage| stage.cost = -1.0), rise);
        assert_eq!(refused(1, &[1.0], |stage| stage.cost = f64::INFINITY), rise);
        let nan = refused(1, &[1.0], |stage| stage.outcome = Outcome::Finished(f64::NAN));
        assert_eq!(nan, format!("{point}a metric is not finite"));
        assert_eq!(refused(1, &[1.0], |stage| stage.outcome = Outcome::Failed), "no point of the table finished");
    }
}
