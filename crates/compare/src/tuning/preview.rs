//! What a search would run.

use percept_fault::Result;
use percept_tune::{Method, Outcome, Search};
use serde::Serialize;

use super::ready::Tuning;
use super::result::AxisInfo;
use super::spec::{Metric, Strategy};
use crate::Budget;

/// Configurations that are looked at, at most: each takes about a millisecond.
const LOOKED_AT: usize = 1000;

/// What a search would run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TunePreview {
    /// What it is called.
    pub name: String,
    /// The algorithm, or `grid`.
    pub algorithm: String,
    /// What is minimised.
    pub metric: Metric,
    /// What a whole trial may use.
    pub budget: Budget,
    /// What is searched.
    pub space: Vec<AxisInfo>,
    /// Points of the space.
    pub configurations: usize,
    /// Trials in all.
    pub trials: u64,
    /// As many whole budgets as all of them take, with the configuration that a search starts from; where every trial finishes and none comes twice.
    pub budgets: f64,
    /// Weights of the configuration that the search starts from.
    pub parameters: u64,
    /// Operations of its training.
    pub flops: f64,
    /// How many configurations were looked at, evenly spread.
    pub looked_at: usize,
    /// How many of them can't be trained.
    pub unusable: usize,
    /// The first of these, and why.
    pub example: Option<String>,
}

impl Tuning {
    /// What would run; nothing is trained.
    ///
    /// # Errors
    /// Usage: the configuration that the search starts from can't be trained.
    pub fn preview(&self) -> Result<TunePreview> {
        let spec = &self.spec;
        let start = self.candidate(None, spec.seeds[0])?;
        let steps = start.task().config.train.steps;
        let looked_at = spec.space.size().min(LOOKED_AT);
        let (mut unusable, mut example) = (0, None);
        for look in 0..looked_at {
            let point = spec.space.point((look as u128 * spec.space.size() as u128 / looked_at as u128) as usize);
            if let Err(fault) = self.configured(Some(&point)) {
                unusable += 1;
                let values: Vec<String> =
                    spec.space.values(&point).map(|(key, value)| format!("{key} = {value}")).collect();
                example.get_or_insert_with(|| format!("{}: {fault}", values.join(", ")));
            }
        }
        Ok(TunePreview {
            name: spec.name.clone(),
            algorithm: spec.strategy.name().to_owned(),
            metric: spec.metric,
            budget: self.budget,
            space: AxisInfo::all(&spec.space),
            configurations: spec.space.size(),
            trials: self.planned(),
            budgets: self.budgets()?,
            parameters: start.parameters,
            flops: steps as f64 * start.flops_per_step,
            looked_at,
            unusable,
            example,
        })
    }

    /// Whole budgets of all trials.
    fn budgets(&self) -> Result<f64> {
        let spec = &self.spec;
        if spec.strategy == Strategy::Grid {
            return Ok(spec.grid_runs() as f64);
        }
        let mut search = Search::new(spec.space.clone(), Method::Random, spec.halving, spec.seed)?;
        let mut budgets = 1.0;
        for _ in 0..spec.trials {
            let trial = search.next();
            let before = trial.rung.checked_sub(1).map_or(0.0, |rung| spec.halving.fraction(rung));
            budgets += trial.fraction - before;
            search.tell(&trial, Outcome::Finished(0.0))?;
        }
        Ok(budgets)
    }
}
