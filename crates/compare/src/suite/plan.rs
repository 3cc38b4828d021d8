//! The comparison that each problem and mode is.

use percept_data::{Mode, Problem};
use percept_fault::{Fault, Result};
use percept_train::Override;

use crate::comparison::Questions;
use crate::{Optimizer, Spec};

/// Questions of different lengths that are asked, within those of training and beyond them, at most.
const LENGTHS: u64 = 6;
/// Documents to train on: more than a run of some million tokens reads twice.
const TRAINED: u64 = 100_000;
/// Documents of the validation and of the test text: few, because a document is a window.
const HELD_OUT: u64 = 256;
/// Texts of the longest questions by which the context is chosen.
const PROBED: u64 = 64;
/// The examination's questions are none of training.
pub(super) const EXAM_SEED: u64 = 0x6578_616d;

/// Problems and models to examine.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use percept_compare::{ModelSpec, Parameters, Spec, suite::{Questions, Suite, SuiteEnded, suite_words}};
/// use percept_train::Override;
/// # let folder = tempfile::tempdir().unwrap();
/// # let cache = Override::flag("--cache", "data.cache", folder.path().join("cache").display().to_string());
/// let small = ["model.dim=16", "model.depth=1", "model.heads=2", "train.batch=32", "train.device=cpu"];
/// let spec = Spec {
///     models: vec![ModelSpec::from("transformer")],
///     base: small.iter().map(|set| Override::set(set)).collect::<Result<_, _>>()?,
///     budget: Some("5k tokens".parse()?),
///     suite: Some(Questions { tasks: vec!["parity".into()], length: 2, exercises: 8, ..Questions::default() }),
///     ..Spec::default()
/// };
/// # let spec = Spec { base: [spec.base.clone(), vec![cache]].concat(), ..spec };
/// let ended = Suite::new(spec)?.run(&folder.path().join("parity"), &AtomicBool::new(false), &mut |_| ())?;
/// let SuiteEnded::Finished(report) = ended else { panic!("nobody asked it to stop") };
/// // Lengths of 1 and 2 are within training, 3 and 4 beyond; both modes are asked.
/// let parity = &report.tasks[0];
/// assert_eq!(parity.chance.iter().map(|at| at.length).collect::<Vec<_>>(), [1, 2, 3, 4]);
/// assert_eq!(parity.modes.iter().map(|mode| mode.mode.as_str()).collect::<Vec<_>>(), ["direct", "cot"]);
/// assert!(suite_words(&report)[0].starts_with("transformer reaches 0 of 1 regular problems directly"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct Suite {
    pub(super) spec: Spec,
    pub(super) questions: Questions,
    pub(super) entries: Vec<Entry>,
}

/// One problem in one mode.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As it was asked for: `parity`, or with options.
    pub(super) task: String,
    pub(super) mode: Mode,
    /// The text that is trained on, but for its number of documents and their seed.
    source: String,
    /// Of all lengths, those that are asked.
    pub(super) problem: Problem,
    pub(super) lengths: Vec<u64>,
}

impl Suite {
    /// The problems that `spec.suite` names, each in both modes. Every model has the optimizer settings of its own preset, unless `spec` says otherwise.
    ///
    /// # Errors
    /// Usage: no problem, a name that is none, a length that a problem cannot have, nothing left to ask, or a text of `spec`'s own.
    pub fn new(mut spec: Spec) -> Result<Self> {
        let questions = spec.suite.take().unwrap_or_default();
        spec.validate()?;
        questions.validate()?;
        let own_text = |change: &&Override| change.key().starts_with("data.") && change.key() != "data.cache";
        if let Some(change) = spec.base.iter().find(own_text) {
            return Err(Fault::usage(format!(
                "{}: a suite makes its own text, so `{}` cannot be set",
                change.origin(),
                change.key()
            ))
            .hint("`percept compare` trains on a text of yours"));
        }
        spec.optimizer.get_or_insert(Optimizer::Own);
        let of_task = |task: &String| [Mode::Direct, Mode::Cot].map(|mode| Entry::new(task, mode, &questions));
        let entries = questions.tasks.iter().flat_map(of_task).collect::<Result<_>>()?;
        Ok(Self { spec, questions, entries })
    }
}

impl Entry {
    fn new(task: &str, mode: Mode, questions: &Questions) -> Result<Self> {
        let of_length = |length: u64| {
            let joint = if task.contains('?') { '&' } else { '?' };
            format!("synthetic:{task}{joint}shortest=1&length={length}&mode={}", mode.name())
        };
        let source = of_length(questions.length);
        let (trained, problem) = (Problem::checked(&source)?, Problem::checked(&of_length(questions.longest()))?);
        let within = spread(&problem, trained.lengths());
        let beyond = spread(&problem, (trained.lengths().1 + 1, problem.lengths().1));
        if beyond.is_empty() {
            let (longest, asked) = (trained.lengths().1, questions.longest());
            return Err(Fault::usage(format!("`{task}` has no question longer than {longest} up to {asked}"))
                .hint("a larger --beyond"));
        }
        Ok(Self { task: task.to_owned(), mode, source, problem, lengths: [within, beyond].concat() })
    }

    /// The comparison of the models on this problem: equal in all that [`crate::Lineup`] makes equal.
    pub(super) fn spec(&self, spec: &Spec) -> Spec {
        let text = |key: &str, documents: u64, seed: u64| {
            Override::flag("the suite", key, vec![format!("{}&documents={documents}&seed={seed}", self.source)])
        };
        let mut base = vec![
            text("data.sources", TRAINED, 0),
            text("data.validation", HELD_OUT, 1),
            text("data.test", HELD_OUT, 2),
            Override::flag("the suite", "model.context", self.context() as i64),
            Override::flag("the suite", "sample.tokens", 0),
        ];
        base.extend(spec.base.iter().cloned());
        Spec { name: self.label(), base, ..spec.clone() }
    }

    /// The power of two that holds the longest questions with their answers: no model is asked beyond its window.
    fn context(&self) -> usize {
        let longest = self.problem.of_length(self.problem.lengths().1).unwrap_or(self.problem);
        let texts = (0..PROBED).map(|index| longest.worked(EXAM_SEED, index).text.len());
        texts.max().unwrap_or(1).next_power_of_two()
    }

    /// What messages call it.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.task, self.mode.name())
    }

    /// The folder of its comparison, in that of the suite.
    pub(super) fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!("{}-{}", self.task.chars().map(plain).collect::<String>(), self.mode.name())
    }
}

/// Lengths between two bounds, both among them where a question can have them, evenly spread.
fn spread(problem: &Problem, (from, to): (u64, u64)) -> Vec<u64> {
    let all: Vec<u64> = (from..=to).filter(|&length| problem.of_length(length).is_some()).collect();
    let last = all.len().saturating_sub(1) as u64;
    let steps = last.min(LENGTHS - 1);
    let places = (0..=steps).map(|step| (step * last).checked_div(steps).unwrap_or(0));
    places.filter_map(|place| all.get(place as usize).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(tasks: &[&str], length: u64, beyond: u64) -> Result<Suite> {
        suite_with(tasks, length, beyond, &[])
    }

    fn suite_with(tasks: &[&str], length: u64, beyond: u64, base: &[&str]) -> Result<Suite> {
        let tasks = tasks.iter().map(|&task| task.into()).collect();
        Suite::new(Spec {
            models: vec!["llp".into()],
            budget: Some("1k tokens".parse()?),
            base: base.iter().map(|set| Override::set(set)).collect::<Result<_>>()?,
            suite: Some(Questions { tasks, length, beyond: Some(beyond), exercises: 4 }),
            ..Spec::default()
        })
    }

    #[test]
    fn lengths_are_spread_within_and_beyond() {
        let of = |task: &str| suite(&[task], 20, 40).unwrap().entries[0].lengths.clone();
        assert_eq!(of("parity"), [1, 4, 8, 12, 16, 20, 21, 24, 28, 32, 36, 40]);
        assert_eq!(of("missing-duplicate"), [2, 4, 8, 12, 16, 20, 22, 24, 28, 32, 36, 40]);
        assert_eq!(suite(&["parity"], 2, 4).unwrap().entries[0].lengths, [1, 2, 3, 4]);
        assert_eq!(suite(&["reverse"], 3, 4).unwrap().entries[1].lengths, [1, 2, 3, 4]);
    }

    #[test]
    fn each_problem_is_two_comparisons_with_room_for_its_longest_text() {
        let suite = suite_with(&["parity", "bucket-sort?symbols=3"], 10, 20, &["model.dim=16"]).unwrap();
        let folders: Vec<String> = suite.entries.iter().map(Entry::folder).collect();
        assert_eq!(
            folders,
            ["parity-direct", "parity-cot", "bucket-sort-symbols-3-direct", "bucket-sort-symbols-3-cot"]
        );
        // 20 symbols, separator, answer; with a working 21 more.
        assert_eq!((suite.entries[0].context(), suite.entries[1].context()), (32, 64));
        let spec = suite.entries[1].spec(&suite.spec);
        assert_eq!((spec.name.as_str(), spec.optimizer), ("parity cot", Some(Optimizer::Own)));
        let keys = ["data.sources", "data.validation", "data.test", "model.context", "sample.tokens", "model.dim"];
        assert_eq!(spec.base.iter().map(Override::key).collect::<Vec<_>>(), keys);
        spec.validate().unwrap();
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let refused = |tasks: &[&str], length, beyond| suite(tasks, length, beyond).unwrap_err().to_string();
        assert!(refused(&[], 2, 4).contains("no problems"));
        assert!(refused(&["parety"], 2, 4).contains("unknown problem `parety`"));
        assert!(refused(&["copy"], 2, 4).contains("unknown problem `copy`"));
        assert!(refused(&["parity", "parity"], 2, 4).contains("named twice"));
        assert!(refused(&["parity"], 4, 4).contains("beyond training"));
        assert!(refused(&["bucket-sort?symbols=3&length=9"], 2, 4).contains("the suite itself says what `length` is"));
        assert!(refused(&["missing-duplicate"], 4, 5).contains("no question longer than 4 up to 5"));
        assert!(refused(&["mqar"], 40, 60).contains("`length` = 60 is not between 1 and 52"));
        let text = suite_with(&["parity"], 2, 4, &["data.sources=[\"a.txt\"]"]).unwrap_err();
        assert!(text.to_string().contains("a suite makes its own text, so `data.sources` cannot be set"), "{text}");
    }

    #[test]
    fn twice_as_long_is_beyond() {
        assert_eq!(Questions { length: 7, ..Questions::default() }.longest(), 14);
    }
}
