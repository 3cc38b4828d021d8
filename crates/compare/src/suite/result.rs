//! What a suite finds: the content of `suite.json`, and all that its page is made from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Budget, Spread, State};

/// A problem counts as reached where this share of the answers' symbols is right beyond the lengths of training (as in arXiv 2207.02098).
pub const REACHED: f64 = 0.9;

/// The answer of `percept suite`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteReport {
    /// Layout of this object: 1.
    pub format: u32,
    /// What the suite is called.
    pub name: String,
    /// Whether everything is trained and examined.
    pub state: State,
    /// The longest question of training.
    pub length: u64,
    /// The longest question of the examination.
    pub beyond: u64,
    /// Questions of each length.
    pub exercises: usize,
    /// What every run may use.
    pub budget: Budget,
    /// The problems, in the order in which they were named.
    pub tasks: Vec<TaskResult>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// As it was asked for.
    pub name: String,
    /// What kind of problem it is: `regular`, ...
    pub class: String,
    /// What guessing is worth.
    pub chance: Vec<LengthChance>,
    /// `direct` and `cot`.
    pub modes: Vec<ModeResult>,
}

/// What guessing is worth in questions of a length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LengthChance {
    /// Symbols of the question.
    pub length: u64,
    /// Share of the answer that the best guess gets right.
    pub chance: f64,
}

/// One problem in one mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModeResult {
    /// `direct` or `cot`.
    pub mode: String,
    /// The comparison of the models, relative to the folder of the suite.
    pub folder: PathBuf,
    /// The models, in the order in which they were named.
    pub models: Vec<ModelExams>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelExams {
    /// Its name.
    pub name: String,
    /// Why it has no figure over its seeds; those of its runs that were trained are examined nevertheless.
    pub failure: Option<String>,
    /// Its runs, one per seed.
    pub runs: Vec<RunExam>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunExam {
    /// The seed.
    pub seed: u64,
    /// The run folder, relative to that of the suite.
    pub folder: PathBuf,
    /// Why it has no result.
    pub failure: Option<String>,
    /// What it got right, by rising length; empty where it failed.
    pub lengths: Vec<ExamAt>,
}

/// Answers to questions of one length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamAt {
    /// Symbols of each question.
    pub length: u64,
    /// Questions asked.
    pub exercises: u64,
    /// Symbols of all answers.
    pub symbols: u64,
    /// Those that the model wrote right, after a working of its own where there is one.
    pub right: u64,
    /// Answers that it wrote without a mistake.
    pub whole: u64,
    /// Symbols that are right where it is shown the true text before each (teacher forcing).
    pub right_when_shown: u64,
}

impl ExamAt {
    /// Share of symbols that the model wrote right.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.symbols.max(1) as f64
    }

    /// Share of symbols that are right where the true text before each is shown.
    pub fn accuracy_when_shown(&self) -> f64 {
        self.right_when_shown as f64 / self.symbols.max(1) as f64
    }
}

impl SuiteReport {
    /// The models, in the order in which they were named.
    pub fn models(&self) -> Vec<&str> {
        let first = self.tasks.iter().flat_map(|task| &task.modes).next();
        first.map(|mode| mode.models.iter().map(|model| model.name.as_str()).collect()).unwrap_or_default()
    }

    /// The classes of the problems, in the order in which they come.
    pub fn classes(&self) -> Vec<&str> {
        let mut classes: Vec<&str> = Vec::new();
        for task in &self.tasks {
            if !classes.contains(&task.class.as_str()) {
                classes.push(&task.class);
            }
        }
        classes
    }

    /// How many problems of a class a model reaches in a mode ([`REACHED`]), and in how many it has a figure.
    pub fn reached(&self, model: &str, mode: &str, class: &str) -> (usize, usize) {
        let of_class = self.tasks.iter().filter(|task| task.class == class);
        let spreads = of_class.filter_map(|task| task.accuracy(mode, model, |length| length > self.length));
        let beyond: Vec<f64> = spreads.map(|spread| spread.mean).collect();
        (beyond.iter().filter(|accuracy| **accuracy >= REACHED).count(), beyond.len())
    }

    /// Whether any model has a figure.
    pub fn is_meaningful(&self) -> bool {
        self.lines().iter().any(|line| line.direct.within.or(line.cot.within).is_some())
    }

    /// Problem and mode, model, and why it has no figure there.
    pub fn failures(&self) -> impl Iterator<Item = (String, &str, &str)> {
        let modes = self.tasks.iter().flat_map(|task| task.modes.iter().map(move |mode| (task, mode)));
        modes.flat_map(|(task, mode)| {
            mode.models.iter().filter_map(move |model| {
                Some((format!("{} {}", task.name, mode.mode), model.name.as_str(), model.failure.as_deref()?))
            })
        })
    }
}

impl TaskResult {
    /// The mean chance over lengths.
    pub fn chance(&self, among: impl Fn(u64) -> bool) -> Option<f64> {
        mean(self.chance.iter().filter(|at| among(at.length)).map(|at| at.chance))
    }

    /// What a model got right in a mode, over its seeds.
    pub fn accuracy(&self, mode: &str, model: &str, among: impl Fn(u64) -> bool) -> Option<Spread> {
        self.model(mode, model)?.spread(ExamAt::accuracy, among)
    }

    /// A model in a mode.
    pub fn model(&self, mode: &str, model: &str) -> Option<&ModelExams> {
        self.modes.iter().find(|own| own.mode == mode)?.models.iter().find(|own| own.name == model)
    }
}

impl ModelExams {
    /// The mean of a share over lengths, each as much as any other, over seeds. None where a run failed: the others alone would flatter the model.
    ///
    /// ```
    /// use percept_compare::suite::{ExamAt, ModelExams, RunExam};
    /// let at = |length, right| ExamAt { length, symbols: 8, right, ..ExamAt::default() };
    /// let run = RunExam { seed: 1, folder: "run".into(), failure: None, lengths: vec![at(2, 8), at(4, 4)] };
    /// let model = ModelExams { name: "llp".into(), failure: None, runs: vec![run] };
    /// assert_eq!(model.spread(ExamAt::accuracy, |_| true).unwrap().mean, 0.75);
    /// assert_eq!(model.spread(ExamAt::accuracy, |length| length > 2).unwrap().mean, 0.5);
    /// ```
    pub fn spread(&self, share: impl Fn(&ExamAt) -> f64, among: impl Fn(u64) -> bool) -> Option<Spread> {
        let of_run = |run: &RunExam| mean(run.lengths.iter().filter(|at| among(at.length)).map(&share));
        Spread::of(&self.runs.iter().map(of_run).collect::<Option<Vec<f64>>>()?)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, right: &[(u64, u64)]) -> RunExam {
        let at = |&(length, right)| ExamAt { length, exercises: 4, symbols: 8, right, whole: 1, right_when_shown: 8 };
        RunExam { seed, folder: "run".into(), failure: None, lengths: right.iter().map(at).collect() }
    }

    #[test]
    fn lengths_weigh_alike_and_seeds_spread() {
        let runs = vec![run(1, &[(2, 8), (4, 4)]), run(2, &[(2, 4), (4, 4)])];
        let model = ModelExams { name: "llp".into(), failure: None, runs };
        let spread = model.spread(ExamAt::accuracy, |_| true).unwrap();
        assert_eq!((spread.mean, spread.min, spread.max), (0.625, 0.5, 0.75));
        assert_eq!(model.spread(ExamAt::accuracy, |length| length > 2).unwrap().width(), Some(0.0));
        assert_eq!(model.spread(ExamAt::accuracy_when_shown, |length| length < 3).unwrap().mean, 1.0);
        assert_eq!(model.spread(ExamAt::accuracy, |length| length > 9), None);
        let failed = ModelExams { runs: vec![run(1, &[(2, 8)]), run(2, &[])], ..model };
        assert_eq!(failed.spread(ExamAt::accuracy, |_| true), None);
    }
}
