//! Problems whose answers are computed from their questions: what a model can work out at all, directly and aloud.
//!
//! ```text
//! direct   0110|0          question, separator, answer
//! cot      0110|0100>0     between them the running state, which whoever is asked has to write, too
//! ```
//!
//! They are those of "Neural networks and the Chomsky hierarchy" (arXiv 2207.02098), the word problems of two groups, and recall. A problem is a
//! file here and a row of [`table`]: how a question of a length is drawn, and how it is answered.

mod binary_addition;
mod binary_multiplication;
mod bits;
mod brackets;
mod bucket_sort;
mod chance;
mod cycle_navigation;
mod draws;
mod duplicate;
mod even_pairs;
mod fuzzy_recall;
mod induction_heads;
mod missing_duplicate;
mod modular_arithmetic;
mod mqar;
mod odds_first;
mod options;
mod parity;
mod permutations;
mod reverse;
mod selective_copying;
mod solution;
mod solve_equation;
mod square_root;
mod stack_manipulation;
mod table;

use percept_fault::{Fault, Result};

use crate::Targets;
pub(crate) use draws::SYMBOLS;
use draws::{Draws, Own};
pub(crate) use options::{Choice, DOCUMENTS, SEED, unknown, values};
use options::{Values, read};
use solution::{SEPARATOR, Solution};
use table::{Layout, Lengths, ROWS, Row, Shortest};

/// Between the working and the answer.
const THEREFORE: u8 = b'>';
/// The longest question whose working is written: some grow with the square of the length.
const LONGEST_WORKED: u64 = 1024;

/// How a problem is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    Direct,
    /// After the running state has been written out (chain of thought).
    Cot,
}

impl Mode {
    const NAMES: [&'static str; 2] = ["direct", "cot"];

    /// Its name in a source.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What kind of problem one is: what a machine must be to solve it at any length, or what it was made to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A finite automaton.
    Regular,
    /// An automaton with a stack.
    ContextFree,
    /// One with a tape.
    ContextSensitive,
    /// The state of a group.
    StateTracking,
    /// Finding again what was read.
    Recall,
}

impl Class {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::ContextFree => "context-free",
            Self::ContextSensitive => "context-sensitive",
            Self::StateTracking => "state tracking",
            Self::Recall => "recall",
        }
    }
}

/// A problem, the lengths of its questions, and how it is answered.
///
/// ```
/// use percept_data::{Mode, Problem};
/// let parity = Problem::of_source("synthetic:parity?length=6&mode=cot").unwrap();
/// assert_eq!((parity.name(), parity.mode(), parity.lengths()), ("parity", Mode::Cot, (1, 6)));
/// // Seed and index say what an exercise is; its length is drawn evenly from 1 to 6.
/// let worked = parity.worked(7, 0);
/// assert_eq!(worked, parity.worked(7, 0));
/// // The working is scored, too; what counts in the end is the answer.
/// assert!(worked.targets.from < worked.answer_from && worked.answer_from == worked.text.len() - 1);
/// // Nobody does better than half without looking at the question.
/// assert!((parity.chance(6) - 0.5).abs() < 0.05);
/// ```
#[derive(Clone, Copy)]
pub struct Problem {
    row: &'static Row,
    own: Own,
    mode: Mode,
    shortest: u64,
    longest: u64,
}

/// A question with what follows it, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worked {
    /// Symbols of the question, as the length of a problem counts them.
    pub length: u64,
    /// The text, ASCII.
    pub text: Vec<u8>,
    /// Which of its bytes are to be told: working and answer.
    pub targets: Targets,
    /// The targets from this byte on are the answer.
    pub answer_from: usize,
}

impl Worked {
    /// Indices of the bytes that make up the answer.
    pub fn answer(&self) -> impl Iterator<Item = usize> + '_ {
        (self.answer_from..self.text.len()).filter(|&at| self.targets.contains(at))
    }

    /// How many bytes of the answer another text tells right that begins with the same question. After a working of its own, its answer begins where
    /// that ends, wherever that is.
    ///
    /// ```
    /// # use percept_data::Problem;
    /// let worked = Problem::of_source("synthetic:s3?shortest=2&length=2&mode=cot").unwrap().worked(1, 0);
    /// assert_eq!(worked.right(&worked.text), 3);
    /// // A working that ends at once, and the right answer.
    /// let answer = &worked.text[worked.answer_from..];
    /// assert_eq!(worked.right(&[&worked.text[..3], b">", answer].concat()), 3);
    /// assert_eq!(worked.right(&worked.text[..5]), 0);
    /// ```
    pub fn right(&self, written: &[u8]) -> usize {
        let from = match self.answer_from > self.targets.from {
            false => Some(self.answer_from),
            true => {
                let told = written.get(self.targets.from..).unwrap_or(&[]);
                told.iter().position(|&byte| byte == THEREFORE).map(|at| self.targets.from + at + 1)
            }
        };
        let Some(from) = from else { return 0 };
        self.answer().filter(|&at| written.get(from + at - self.answer_from) == Some(&self.text[at])).count()
    }
}

impl Problem {
    /// The problem that a source such as `synthetic:parity?length=20` names; `None` for any other source.
    pub fn of_source(path: &str) -> Option<Self> {
        let (name, options) = parts(path)?;
        Self::parse(path, name, options)?.ok().map(|parsed| parsed.problem)
    }

    /// The same, where it must be one.
    ///
    /// # Errors
    /// Usage: another source, or options that are wrong.
    pub fn checked(path: &str) -> Result<Self> {
        let (name, options) = parts(path).unwrap_or((path, ""));
        match Self::parse(path, name, options) {
            Some(parsed) => parsed.map(|parsed| parsed.problem),
            None => Err(unknown(path, "problem", name, Self::names())),
        }
    }

    /// The same problem with questions of one length; `None` where it has none so long.
    pub fn of_length(&self, length: u64) -> Option<Self> {
        let Lengths { least, most, step, .. } = self.row.lengths;
        let has = (least..=most).contains(&length) && (length - least).is_multiple_of(step);
        has.then_some(Self { shortest: length, longest: length, ..*self })
    }

    /// The names of all problems.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> + Clone {
        ROWS.iter().map(|row| row.name)
    }

    /// The problem `name` with its options, in the source `path`; `None` where no problem has that name.
    pub(crate) fn parse(path: &str, name: &str, options: &str) -> Option<Result<Parsed>> {
        ROWS.iter().find(|row| row.name == name).map(|row| Self::with_options(path, row, options))
    }

    fn with_options(path: &str, row: &'static Row, options: &str) -> Result<Parsed> {
        let range = row.lengths.least..=row.lengths.most;
        let mode = Choice { name: "mode", default: Mode::Direct as u64, values: Values::Word(&Mode::NAMES) };
        let lengths = [
            Choice::number("length", row.lengths.default, range),
            // 0: not given.
            Choice::number("shortest", 0, 1..=row.lengths.most),
        ];
        let choices: Vec<Choice> =
            lengths.into_iter().chain([mode, DOCUMENTS, SEED]).chain(row.own.iter().cloned()).collect();
        let mut values: Vec<u64> = choices.iter().map(|choice| choice.default).collect();
        read(path, options, &choices, &mut values)?;
        let mode = if values[2] == Mode::Cot as u64 { Mode::Cot } else { Mode::Direct };
        let mut own = Own::default();
        own.iter_mut().zip(&values[5..]).for_each(|(own, &value)| *own = value as usize);
        let (shortest, longest) = lengths_of(path, row, mode, values[1], values[0])?;
        Ok(Parsed { problem: Self { row, own, mode, shortest, longest }, documents: values[3], seed: values[4] })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// What kind of problem it is.
    pub fn class(&self) -> Class {
        self.row.class
    }

    /// How it is answered.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The shortest and the longest question.
    pub fn lengths(&self) -> (u64, u64) {
        (self.shortest, self.longest)
    }

    /// Exercise `index` of the sequence that `seed` stands for. Its length is drawn evenly from those that questions can have.
    pub fn worked(&self, seed: u64, index: u64) -> Worked {
        let step = self.row.lengths.step;
        let lengths = (self.longest - self.shortest) / step + 1;
        let length = self.shortest + step * percept_random::below(lengths, &[seed, index, u64::MAX, 0]);
        self.worked_of(length, seed, index)
    }

    /// The same with a question of `length`.
    fn worked_of(&self, length: u64, seed: u64, index: u64) -> Worked {
        let question = (self.row.question)(length as usize, self.own, &mut Draws::new(seed, index));
        let solution = (self.row.solve)(&question);
        let (text, targets, answer_from) = match (self.row.layout, self.mode) {
            (Layout::Between, Mode::Direct) => between(question, &solution),
            (layout, mode) => after(question, layout, mode, &solution),
        };
        Worked { length, text, targets, answer_from }
    }

    /// What its texts depend on, besides seed and number of documents.
    pub(crate) fn key(&self) -> String {
        let Self { row, own, mode, shortest, longest } = self;
        format!("{} {own:?} {} {shortest} {longest}", row.name, mode.name())
    }

    /// Whether all questions have one length and the answers follow at once.
    pub(crate) fn is_plain(&self) -> bool {
        self.mode == Mode::Direct && self.shortest == self.longest
    }

    /// The value of its first own option.
    pub(crate) fn first_own(&self) -> u64 {
        self.own[0] as u64
    }
}

impl std::fmt::Debug for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Problem({})", self.key())
    }
}

impl PartialEq for Problem {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Problem {}

/// A problem with how many documents of it there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parsed {
    pub(crate) problem: Problem,
    pub(crate) documents: u64,
    pub(crate) seed: u64,
}

/// Prefix of source paths that name something made here.
const PREFIX: &str = "synthetic:";

/// Name and options of a source `synthetic:NAME?options`; `None` for any other.
pub(crate) fn parts(path: &str) -> Option<(&str, &str)> {
    let made = path.strip_prefix(PREFIX)?;
    Some(made.split_once('?').unwrap_or((made, "")))
}

/// The shortest and the longest length that questions can have between two bounds; a `shortest` of 0 is not given.
fn lengths_of(path: &str, row: &Row, mode: Mode, shortest: u64, longest: u64) -> Result<(u64, u64)> {
    let lengths = row.lengths;
    if mode == Mode::Cot && longest > LONGEST_WORKED {
        return Err(Fault::usage(format!("{path}: `length` = {longest} is too long for a working"))
            .hint(format!("with mode=cot it is at most {LONGEST_WORKED}")));
    }
    if shortest > longest {
        return Err(Fault::usage(format!("{path}: `shortest` = {shortest} is above `length` = {longest}"))
            .hint("lengths are drawn from `shortest` to `length`: give both"));
    }
    let shortest = match (shortest, lengths.shortest) {
        (0, Shortest::Longest) => longest,
        (0, Shortest::Least) => lengths.least,
        (given, _) => given,
    };
    let first = lengths.least + shortest.saturating_sub(lengths.least).next_multiple_of(lengths.step);
    if first > longest {
        let Lengths { least, step, .. } = lengths;
        return Err(Fault::usage(format!(
            "{path}: no question of `{}` has a length of {shortest} to {longest}",
            row.name
        ))
        .hint(format!("its lengths are {least}, {}, {}, ...", least + step, least + 2 * step)));
    }
    Ok((first, first + (longest - first) / lengths.step * lengths.step))
}

/// Question, separator, working, answer; the working only with [`Mode::Cot`].
fn after(question: Vec<u8>, layout: Layout, mode: Mode, solution: &Solution) -> (Vec<u8>, Targets, usize) {
    let mut text = question;
    text.push(match layout {
        Layout::After(separator) => separator,
        Layout::Between => SEPARATOR,
    });
    let targets = Targets::after(text.len());
    if mode == Mode::Cot {
        text.extend(&solution.working);
        text.push(THEREFORE);
    }
    let answer_from = text.len();
    text.extend(&solution.answer);
    (text, targets, answer_from)
}

/// The symbols of the answer among those of the question's last part.
fn between(question: Vec<u8>, solution: &Solution) -> (Vec<u8>, Targets, usize) {
    let from = question.len() - solution.answer.len();
    let (mut text, asked) = (question[..from].to_vec(), &question[from..]);
    text.extend(asked.iter().zip(&solution.answer).flat_map(|(&asked, &answer)| [asked, answer]));
    (text, Targets { from, every: 2 }, from)
}

#[cfg(test)]
mod tests;
