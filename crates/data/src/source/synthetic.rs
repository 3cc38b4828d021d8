//! Sources that are made here: documents of a [`Task`] or a [`Problem`].

use percept_fault::Result;

use super::task::Task;
use crate::Targets;
use crate::problem::{Choice, DOCUMENTS, Parsed, Problem, SEED, parts, unknown, values};

/// The tasks that are no problems.
const TASKS: [&str; 2] = ["copy", "recall"];

const COPYING: [Choice; 4] =
    [Choice::number("length", 32, 1..=1 << 30), Choice::number("symbols", 16, 1..=62), DOCUMENTS, SEED];
const RECALL: [Choice; 5] = [
    Choice::number("pairs", 16, 1..=52),
    Choice::number("values", 10, 1..=10),
    Choice::number("gap", 0, 0..=1 << 30),
    DOCUMENTS,
    SEED,
];

/// Documents made by seed and index; only what is asked for is a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synthetic {
    kind: Kind,
    pub(crate) documents: u64,
    seed: u64,
}

/// What the documents are of.
///
/// Copies have one length. Recall draws the number of pairs, up to that of the task, and the gap for each document, as its authors
/// mix sizes: a model that has seen one size only learns places instead of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Task(Task),
    Problem(Problem),
}

impl Synthetic {
    /// What a source path `synthetic:NAME?option=value&...` names; `None` for any other path.
    pub(crate) fn parse(path: &str) -> Result<Option<Self>> {
        let Some((name, options)) = parts(path) else { return Ok(None) };
        let (task, documents, seed) = match name {
            "copy" => {
                let [length, symbols, documents, seed] = values(path, options, &COPYING)?;
                (Task::Copy { length, symbols }, documents, seed)
            }
            "recall" => {
                let [pairs, values, gap, documents, seed] = values(path, options, &RECALL)?;
                (Task::Recall { pairs, values, gap }, documents, seed)
            }
            _ => match Problem::parse(path, name, options) {
                Some(parsed) => return Ok(Some(Self::of(parsed?))),
                None => return Err(unknown(path, "task", name, TASKS.into_iter().chain(Problem::names()))),
            },
        };
        Ok(Some(Self { kind: Kind::Task(task), documents, seed }))
    }

    fn of(Parsed { problem, documents, seed }: Parsed) -> Self {
        let kind = match problem.name() {
            // This one was a task before it was a problem: its texts are the same, and so is what they are known by.
            "reverse" if problem.is_plain() => {
                Kind::Task(Task::Reverse { length: problem.lengths().1, symbols: problem.first_own() })
            }
            _ => Kind::Problem(problem),
        };
        Self { kind, documents, seed }
    }

    /// Document `index`, and which of its bytes are targets.
    pub(crate) fn document(&self, index: u64) -> (Vec<u8>, Targets) {
        let task = match self.kind {
            Kind::Problem(problem) => {
                let worked = problem.worked(self.seed, index);
                return (worked.text, worked.targets);
            }
            Kind::Task(Task::Recall { pairs, values, gap }) => {
                let draw = |most, what| percept_random::below(most, &[self.seed, index, u64::MAX, what]);
                Task::Recall { pairs: 1 + draw(pairs, 0), values, gap: draw(gap + 1, 1) }
            }
            Kind::Task(copying) => copying,
        };
        let exercise = task.exercise(self.seed, index);
        (exercise.text, Targets::after(exercise.scored_from))
    }

    /// What its documents depend on.
    pub(crate) fn key(&self) -> String {
        let Self { kind, documents, seed } = self;
        match kind {
            // Token caches and places of samplers go by it.
            Kind::Task(task) => format!("Synthetic {{ task: {task:?}, documents: {documents}, seed: {seed} }}"),
            Kind::Problem(problem) => format!("problem {}, {documents} documents, seed {seed}", problem.key()),
        }
    }
}

impl Task {
    /// The task that a source path such as `synthetic:copy?length=8` names; `None` for any other path.
    pub fn of_source(path: &str) -> Option<Self> {
        match Synthetic::parse(path).ok().flatten()?.kind {
            Kind::Task(task) => Some(task),
            Kind::Problem(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, index: u64) -> (String, Targets) {
        let (text, targets) = Synthetic::parse(path).unwrap().unwrap().document(index);
        (String::from_utf8(text).unwrap(), targets)
    }

    #[test]
    fn documents_are_those_of_their_task() {
        let (copy, targets) = document("synthetic:copy?length=7&symbols=3", 5);
        assert_eq!((copy.len(), targets, &copy[..7]), (15, Targets::after(8), &copy[8..]));
        let reverse = document("synthetic:reverse?length=7", 5);
        assert!(reverse.0[8..].chars().eq(reverse.0[..7].chars().rev()));
        assert_ne!(reverse, document("synthetic:reverse?length=7", 6));
        assert_ne!(reverse, document("synthetic:reverse?length=7&seed=1", 5));
    }

    #[test]
    fn reverse_is_what_it_was() {
        let plain = Synthetic::parse("synthetic:reverse?length=7&symbols=3&seed=2").unwrap().unwrap();
        assert_eq!(plain.key(), "Synthetic { task: Reverse { length: 7, symbols: 3 }, documents: 10000, seed: 2 }");
        let task = Task::Reverse { length: 7, symbols: 3 };
        assert_eq!(Task::of_source("synthetic:reverse?length=7&symbols=3"), Some(task));
        assert_eq!(Task::of_source("synthetic:reverse?length=7&symbols=3&shortest=1"), None);
        let problem = Problem::of_source("synthetic:reverse?length=7&symbols=3").unwrap();
        for index in 0..20 {
            let (exercise, worked) = (task.exercise(2, index), problem.worked(2, index));
            assert_eq!((exercise.text, Targets::after(exercise.scored_from)), (worked.text, worked.targets));
        }
    }

    #[test]
    fn recall_mixes_sizes() {
        let task = Synthetic::parse("synthetic:recall?pairs=3&gap=2&values=4").unwrap().unwrap();
        let mut sizes = std::collections::BTreeSet::new();
        for index in 0..200 {
            let (text, targets) = task.document(index);
            let (pairs, before) = ((text.len() - targets.from) / 2, targets.from - 1);
            sizes.insert((pairs, before - 2 * pairs));
            let values = text[targets.from..].chunks_exact(2).map(|pair| pair[1]);
            assert!(values.into_iter().all(|value| (b'0'..b'4').contains(&value)));
        }
        assert!(sizes.into_iter().eq((1..=3).flat_map(|pairs| (0..=2).map(move |gap| (pairs, gap)))));
    }

    #[test]
    fn mistakes_are_named() {
        let fault = |path| {
            let fault = Synthetic::parse(path).unwrap_err();
            format!("{fault} ({})", fault.hint_text().unwrap_or(""))
        };
        assert!(fault("synthetic:copi").ends_with("unknown task `copi` (did you mean `copy`?)"));
        assert!(fault("synthetic:parety").ends_with("unknown task `parety` (did you mean `parity`?)"));
        assert!(fault("synthetic:?").contains("(known: copy, recall, even-pairs, parity, cycle-navigation, modular-"));
        assert!(fault("synthetic:copy?lenght=3").ends_with("unknown option `lenght` (did you mean `length`?)"));
        assert!(fault("synthetic:copy?length=x").contains("not a whole number"));
        assert!(fault("synthetic:copy?symbols=63").contains("`symbols` = 63 is not between 1 and 62"));
        assert!(fault("synthetic:recall?length=3").contains("known: pairs, values, gap, documents, seed"));
        assert!(fault("synthetic:recall?pairs=53").contains("`pairs` = 53 is not between 1 and 52"));
        assert_eq!(Synthetic::parse("copy.txt").unwrap(), None);
        assert_eq!(Task::of_source("synthetic:copy?length=x"), None);
        let copy = Some(Task::Copy { length: 3, symbols: 16 });
        assert_eq!(Task::of_source("synthetic:copy?length=3&seed=4"), copy);
    }

    #[test]
    fn mistakes_in_problems_are_named() {
        let fault = |path| {
            let fault = Synthetic::parse(path).unwrap_err();
            format!("{fault} ({})", fault.hint_text().unwrap_or(""))
        };
        assert!(
            fault("synthetic:parity?symbols=3")
                .ends_with("unknown option `symbols` (known: length, shortest, mode, documents, seed)")
        );
        assert!(fault("synthetic:parity?mode=cod").ends_with("unknown `mode` `cod` (did you mean `cot`?)"));
        assert!(fault("synthetic:parity?length=0").contains("`length` = 0 is not between 1 and 65536"));
        assert!(fault("synthetic:parity?shortest=0").contains("`shortest` = 0 is not between 1 and 65536"));
        assert!(fault("synthetic:parity?shortest=41").ends_with(
            "`shortest` = 41 is above `length` = 40 (lengths are drawn from `shortest` to `length`: give both)"
        ));
        assert!(
            fault("synthetic:parity?length=1025&mode=cot")
                .ends_with("`length` = 1025 is too long for a working (with mode=cot it is at most 1024)")
        );
        assert!(
            fault("synthetic:missing-duplicate?shortest=5&length=5")
                .ends_with("no question of `missing-duplicate` has a length of 5 to 5 (its lengths are 2, 4, 6, ...)")
        );
        assert!(fault("synthetic:binary-addition?length=2").contains("`length` = 2 is not between 3 and 4096"));
        assert!(fault("synthetic:mqar?length=53").contains("`length` = 53 is not between 1 and 52"));
    }
}
