//! What a search finds: the content of `tune.json`, and all that its page is made from.
//!
//! Its keys are an interface: more may be added, none changes.

use std::path::PathBuf;

use percept_tune::{Halving, Incumbent, MainEffects, Order, Outcome, Space, Trial};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::spec::{Metric, Strategy};
use crate::{Budget, CorpusInfo, EnvironmentInfo, State};

/// The answer of `percept tune`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuneReport {
    /// Layout of this object: 1.
    pub format: u32,
    /// What the search is called.
    pub name: String,
    /// Whether all trials are done.
    pub state: State,
    /// The preset that it starts from.
    pub preset: String,
    /// What is minimised, of the validation text.
    pub metric: Metric,
    /// What a whole trial may use.
    pub budget: Budget,
    /// How configurations are chosen.
    pub strategy: Strategy,
    /// Successive halving.
    pub halving: Halving,
    /// Seed of the search.
    pub seed: u64,
    /// Seeds of training.
    pub seeds: Vec<u64>,
    /// Parameters that every trial was matched to.
    pub parameters: Option<u64>,
    /// How many trials there are to be.
    pub planned: u64,
    /// What is searched.
    pub space: Vec<AxisInfo>,
    /// The text.
    pub corpus: CorpusInfo,
    /// Where it ran.
    pub environment: EnvironmentInfo,
    /// The configuration that the search starts from, trained for a whole budget; a grid has none.
    pub start: Option<TrialResult>,
    /// The trials, in their order.
    pub trials: Vec<TrialResult>,
    /// The place of the best among them: the lowest metric of the highest rung.
    pub best: Option<usize>,
    /// Which keys matter, by the trials of the first rung.
    pub effects: Option<MainEffects>,
}

/// A key that is searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AxisInfo {
    /// The key.
    pub key: String,
    /// Its values.
    pub values: Vec<Value>,
    /// Whether they are numbers that rise.
    pub rising: bool,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It has a metric.
    Finished,
    /// Loss or gradient were no longer finite.
    Diverged,
    /// It could not be trained.
    Failed,
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Which suggestion it is, from 0; what is promoted keeps its number.
    pub number: u64,
    /// How often it was promoted.
    pub rung: u32,
    /// The share of the whole budget that its run has had after it.
    pub fraction: f64,
    /// For each key the index of its value; none for the configuration that the search starts from.
    pub point: Vec<usize>,
    /// Each key with its value.
    pub values: Map<String, Value>,
    /// The seed of training.
    pub seed: u64,
    /// The run's folder, below that of the search; two trials of one configuration and seed share it.
    pub folder: Option<PathBuf>,
    /// How it ended.
    pub status: Status,
    /// The metric, where it finished.
    pub metric: Option<f64>,
    /// What the program said where it has none.
    pub message: Option<String>,
    /// Weights of the model.
    pub parameters: Option<u64>,
    /// Steps of the run up to this trial's end.
    pub steps: u64,
    /// Operations of training by the cost model that this trial added: what earlier trials of the same run took is theirs.
    pub flops: f64,
    /// Seconds of training that it added.
    pub seconds: f64,
}

impl TrialResult {
    /// What the algorithm is told.
    pub fn outcome(&self) -> Outcome {
        match (self.status, self.metric) {
            (Status::Finished, Some(metric)) => Outcome::of(metric),
            (Status::Diverged, _) => Outcome::Diverged,
            _ => Outcome::Failed,
        }
    }

    /// The trial that it is of.
    pub(super) fn trial(&self) -> Trial {
        Trial { number: self.number, point: self.point.clone(), rung: self.rung, fraction: self.fraction }
    }
}

impl AxisInfo {
    pub(super) fn all(space: &Space) -> Vec<Self> {
        let info = |axis: &percept_tune::Axis| Self {
            key: axis.key().to_owned(),
            values: axis.values().iter().map(json).collect(),
            rising: axis.order() == Order::Rising,
        };
        space.axes().iter().map(info).collect()
    }

    /// The key without its table: `learning_rate`.
    pub fn short(&self) -> &str {
        self.key.rsplit_once('.').map_or(self.key.as_str(), |(_, short)| short)
    }
}

/// A value of a configuration as JSON.
pub(super) fn json(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A value as people read it: names without quotes.
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl TuneReport {
    /// The best trial.
    pub fn best(&self) -> Option<&TrialResult> {
        self.trials.get(self.best?)
    }

    /// How many trials ended so.
    pub fn count(&self, status: Status) -> usize {
        self.trials.iter().filter(|trial| trial.status == status).count()
    }

    /// The trials that finished, best first: those of higher rungs before the others.
    pub fn ranked(&self) -> Vec<&TrialResult> {
        let mut trials: Vec<&TrialResult> = self.trials.iter().filter(|trial| trial.metric.is_some()).collect();
        let metric = |trial: &TrialResult| trial.metric.unwrap_or(f64::INFINITY);
        trials.sort_by(|a, b| b.rung.cmp(&a.rung).then(metric(a).total_cmp(&metric(b))));
        // Of a trial that was promoted its last rung is shown.
        let mut seen = std::collections::BTreeSet::new();
        trials.retain(|trial| seen.insert((trial.point.clone(), trial.seed)));
        trials
    }

    /// How far the best lies below the configuration that the search starts from, both after a whole budget; negative where it lies above.
    pub fn gain(&self) -> Option<f64> {
        let best = self.best().filter(|best| best.fraction == 1.0)?;
        Some(self.start.as_ref()?.metric? - best.metric?)
    }

    /// The best metric so far after each trial of the highest rung, against the operations of all trials up to there.
    pub fn progress(&self) -> Vec<(f64, f64)> {
        let highest = self.trials.iter().filter(|trial| trial.metric.is_some()).map(|trial| trial.rung).max();
        let (mut flops, mut best, mut points) = (0.0, f64::INFINITY, Vec::new());
        for trial in &self.trials {
            flops += trial.flops;
            let Some(metric) = trial.metric.filter(|_| Some(trial.rung) == highest) else { continue };
            if best.is_finite() {
                points.push((flops, best));
            }
            best = best.min(metric);
            points.push((flops, best));
        }
        points.dedup();
        points
    }

    /// Finds the best anew, and which keys matter.
    pub(super) fn conclude(&mut self, space: &Space) {
        let mut best: Option<(Incumbent, usize)> = None;
        for (index, result) in self.trials.iter().enumerate() {
            let before = best.as_ref().map(|(incumbent, _)| incumbent.clone());
            let after = Incumbent::after(before.clone(), &result.trial(), result.outcome());
            if after != before {
                best = after.map(|incumbent| (incumbent, index));
            }
        }
        self.best = best.map(|(_, index)| index);
        let first = self.trials.iter().map(|trial| trial.rung).min();
        // A configuration that came twice with one seed tells nothing new.
        let mut seen = std::collections::BTreeSet::new();
        let told = self.trials.iter().filter(|trial| Some(trial.rung) == first);
        let told = told.filter_map(|trial| {
            let metric = trial.metric?;
            seen.insert((trial.point.clone(), trial.seed)).then(|| (trial.point.clone(), metric))
        });
        self.effects = MainEffects::of(space, &told.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Axis,
        tuning::fixtures::{report, space, trial},
    };

    #[test]
    fn the_best_is_that_of_the_highest_rung_and_the_gain_is_over_the_start() {
        let mut found =
            report(vec![trial(0, 0, Some(3.0)), trial(1, 0, Some(1.0)), trial(0, 1, Some(2.0)), trial(2, 1, None)]);
        found.conclude(&space());
        assert_eq!((found.best, found.best().unwrap().metric), (Some(2), Some(2.0)));
        assert_eq!(found.gain(), Some(0.5), "the start has 2.5");
        // The best has had half of the budget: nothing to say.
        found.trials.truncate(2);
        found.conclude(&space());
        assert_eq!((found.best, found.gain()), (Some(1), None));
        assert_eq!(found.budget.kind, Axis::Tokens);
    }

    #[test]
    fn a_promoted_trial_is_ranked_once_behind_none_of_a_lower_rung() {
        let found =
            report(vec![trial(0, 0, Some(3.0)), trial(1, 0, Some(1.0)), trial(0, 1, Some(2.0)), trial(2, 0, None)]);
        let ranked: Vec<(u64, u32)> = found.ranked().iter().map(|trial| (trial.number, trial.rung)).collect();
        assert_eq!(ranked, [(0, 1), (1, 0)]);
    }

    #[test]
    fn progress_falls_in_steps_against_the_cost_of_all_trials() {
        let found = report(vec![
            trial(0, 1, Some(3.0)),
            trial(1, 0, Some(1.0)),
            trial(2, 1, Some(2.0)),
            trial(3, 1, Some(4.0)),
        ]);
        assert_eq!(found.progress(), [(10.0, 3.0), (30.0, 3.0), (30.0, 2.0), (40.0, 2.0)]);
    }

    #[test]
    fn a_repeated_trial_tells_its_effect_once() {
        let once = vec![trial(0, 0, Some(3.0)), trial(1, 0, Some(1.0))];
        let (mut found, mut again) = (report(once.clone()), report([once.clone(), once].concat()));
        found.conclude(&space());
        again.conclude(&space());
        assert_eq!((found.effects.as_ref().unwrap().trials, &found.effects), (2, &again.effects));
    }
}
