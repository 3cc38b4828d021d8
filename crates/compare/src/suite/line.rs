//! The table of a suite: a line for each problem and model.

use super::result::{ExamAt, ModelExams, SuiteReport, TaskResult};
use crate::Spread;

/// A figure over the lengths of training and over those beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares<T> {
    /// Up to the longest question of training.
    pub within: T,
    /// In longer ones.
    pub beyond: T,
}

/// What a model got right in a problem; shares of the answers' symbols, each length as much as any other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    /// The problem.
    pub task: &'a str,
    /// The model.
    pub model: &'a str,
    /// Answers at once.
    pub direct: Shares<Option<Spread>>,
    /// Answers after a working that the model writes itself.
    pub cot: Shares<Option<Spread>>,
    /// The same where the true text before each symbol is shown (teacher forcing): no result of the model alone.
    pub cot_shown: Shares<Option<Spread>>,
    /// Mean with a chain of thought, less that without.
    pub gain: Shares<Option<f64>>,
    /// What guessing is worth.
    pub chance: Shares<Option<f64>>,
}

impl<T> Shares<T> {
    fn of(figure: impl Fn(&dyn Fn(u64) -> bool) -> T, longest: u64) -> Self {
        Self { within: figure(&|length| length <= longest), beyond: figure(&|length| length > longest) }
    }
}

impl SuiteReport {
    /// Problems in the order in which they were named, in each of them the models in theirs.
    pub fn lines(&self) -> Vec<Line<'_>> {
        let models = self.models();
        self.tasks.iter().flat_map(|task| models.iter().map(|model| self.line(task, model))).collect()
    }

    fn line<'a>(&self, task: &'a TaskResult, model: &'a str) -> Line<'a> {
        let share = |mode: &str, of: fn(&ExamAt) -> f64| {
            let own: Option<&ModelExams> = task.model(mode, model);
            Shares::of(|among| own.and_then(|own| own.spread(of, among)), self.length)
        };
        let (direct, cot) = (share("direct", ExamAt::accuracy), share("cot", ExamAt::accuracy));
        let gain = |cot: Option<Spread>, direct: Option<Spread>| Some(cot?.mean - direct?.mean);
        Line {
            task: &task.name,
            model,
            direct,
            cot,
            cot_shown: share("cot", ExamAt::accuracy_when_shown),
            gain: Shares { within: gain(cot.within, direct.within), beyond: gain(cot.beyond, direct.beyond) },
            chance: Shares::of(|among| task.chance(among), self.length),
        }
    }
}
