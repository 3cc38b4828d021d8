//! Sources that are made here: documents of a [`Task`].

use std::ops::RangeInclusive;

use percept_fault::{Fault, Result, nearest};

use super::task::{Exercise, Task};

/// Prefix of source paths that name a task.
const PREFIX: &str = "synthetic:";
/// Every task.
const TASKS: [&str; 3] = ["copy", "reverse", "recall"];

/// An option of a task: name, default, and the values that it may have.
type Choice = (&'static str, u64, RangeInclusive<u64>);

/// Ten at least, so that they can be split.
const DOCUMENTS: Choice = ("documents", 10_000, 10..=1 << 32);
const SEED: Choice = ("seed", 0, 0..=u64::MAX);
const COPYING: [Choice; 4] = [("length", 32, 1..=1 << 30), ("symbols", 16, 1..=62), DOCUMENTS, SEED];
const RECALL: [Choice; 5] = [("pairs", 16, 1..=52), ("values", 10, 1..=10), ("gap", 0, 0..=1 << 30), DOCUMENTS, SEED];

/// Documents of a [`Task`]; only what follows the separator is a target.
///
/// Copies have one length. Recall draws the number of pairs, up to that of the task, and the gap for each document, as its authors
/// mix sizes: a model that has seen one size only learns places instead of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synthetic {
    task: Task,
    pub(crate) documents: u64,
    seed: u64,
}

impl Synthetic {
    /// The task of a source path `synthetic:NAME?option=value&...`; `None` for any other path.
    pub(crate) fn parse(path: &str) -> Result<Option<Self>> {
        let Some(task) = path.strip_prefix(PREFIX) else { return Ok(None) };
        let (name, options) = task.split_once('?').unwrap_or((task, ""));
        let (task, documents, seed) = match name {
            "copy" => {
                let [length, symbols, documents, seed] = values(path, options, COPYING)?;
                (Task::Copy { length, symbols }, documents, seed)
            }
            "reverse" => {
                let [length, symbols, documents, seed] = values(path, options, COPYING)?;
                (Task::Reverse { length, symbols }, documents, seed)
            }
            "recall" => {
                let [pairs, values, gap, documents, seed] = values(path, options, RECALL)?;
                (Task::Recall { pairs, values, gap }, documents, seed)
            }
            _ => return Err(unknown(path, "task", name, TASKS)),
        };
        Ok(Some(Self { task, documents, seed }))
    }

    /// Document `index`.
    pub(crate) fn document(&self, index: u64) -> Exercise {
        let task = match self.task {
            Task::Recall { pairs, values, gap } => {
                let draw = |most, what| percept_random::below(most, &[self.seed, index, u64::MAX, what]);
                Task::Recall { pairs: 1 + draw(pairs, 0), values, gap: draw(gap + 1, 1) }
            }
            copying => copying,
        };
        task.exercise(self.seed, index)
    }

    /// What its documents depend on.
    pub(crate) fn key(&self) -> String {
        format!("{self:?}")
    }
}

impl Task {
    /// The task that a source path such as `synthetic:copy?length=8` names; `None` for any other path.
    pub fn of_source(path: &str) -> Option<Self> {
        Synthetic::parse(path).ok().flatten().map(|synthetic| synthetic.task)
    }
}

/// The values of all options, in the order of `choices`.
fn values<const N: usize>(path: &str, options: &str, choices: [Choice; N]) -> Result<[u64; N]> {
    let mut values = [0; N];
    for (value, (_, default, _)) in values.iter_mut().zip(&choices) {
        *value = *default;
    }
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let at = choices.iter().position(|(known, ..)| *known == key);
        let at = at.ok_or_else(|| unknown(path, "option", key, choices.clone().map(|(known, ..)| known)))?;
        values[at] =
            value.parse().map_err(|_| Fault::usage(format!("{path}: `{key}` is not a whole number: `{value}`")))?;
        let range = &choices[at].2;
        if !range.contains(&values[at]) {
            let (least, most) = (range.start(), range.end());
            return Err(Fault::usage(format!("{path}: `{key}` = {value} is not between {least} and {most}")));
        }
    }
    Ok(values)
}

fn unknown<const N: usize>(path: &str, what: &str, word: &str, known: [&str; N]) -> Fault {
    let hint = match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    Fault::usage(format!("{path}: unknown {what} `{word}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_those_of_their_task() {
        let document = |path, index| Synthetic::parse(path).unwrap().unwrap().document(index);
        let copy = document("synthetic:copy?length=7&symbols=3", 5);
        assert_eq!((copy.text.len(), copy.scored_from, &copy.text[..7]), (15, 8, &copy.text[8..]));
        let reverse = document("synthetic:reverse?length=7", 5);
        assert!(reverse.text[8..].iter().eq(reverse.text[..7].iter().rev()));
        assert_ne!(reverse, document("synthetic:reverse?length=7", 6));
        assert_ne!(reverse, document("synthetic:reverse?length=7&seed=1", 5));
    }

    #[test]
    fn recall_mixes_sizes() {
        let task = Synthetic::parse("synthetic:recall?pairs=3&gap=2&values=4").unwrap().unwrap();
        let mut sizes = std::collections::BTreeSet::new();
        for index in 0..200 {
            let Exercise { text, scored_from, answers } = task.document(index);
            sizes.insert((answers.len(), scored_from - 1 - 2 * answers.len()));
            assert!(answers.iter().all(|answer| (b'0'..b'4').contains(&text[answer.at])));
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
}
