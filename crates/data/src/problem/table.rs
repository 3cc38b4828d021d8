//! Every problem, a row each.

use super::Class;
use super::draws::{Draws, Own};
use super::options::Choice;
use super::solution::{SEPARATOR, Solution};
use super::{
    binary_addition, binary_multiplication, brackets, bucket_sort, cycle_navigation, duplicate, even_pairs,
    fuzzy_recall, induction_heads, missing_duplicate, modular_arithmetic, mqar, odds_first, parity, permutations,
    reverse, selective_copying, solve_equation, square_root, stack_manipulation,
};

/// A problem: how its questions are made, and what their answers are.
pub(super) struct Row {
    /// Its name in `synthetic:NAME`.
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) lengths: Lengths,
    /// Its own options.
    pub(super) own: &'static [Choice],
    pub(super) layout: Layout,
    /// A question of a length that it can have.
    pub(super) question: fn(usize, Own, &mut Draws) -> Vec<u8>,
    /// The answer to a question of this problem.
    pub(super) solve: fn(&[u8]) -> Solution,
}

/// The lengths that questions can have: `least`, `least + step`, ... up to `most`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) least: u64,
    pub(super) most: u64,
    pub(super) step: u64,
    /// The longest where the source does not say.
    pub(super) default: u64,
    pub(super) shortest: Shortest,
}

/// The shortest length where the source does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortest {
    /// The least that a question can have.
    Least,
    /// The longest: all have one length, as those of `synthetic:reverse` always had.
    Longest,
}

/// How a question and its answer make a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The answer follows the question, after this symbol.
    After(u8),
    /// The symbols of the answer stand each after one of the question's last part, which a separator begins.
    Between,
}

const fn from(least: u64) -> Lengths {
    Lengths { least, most: 1 << 16, step: 1, default: 40, shortest: Shortest::Least }
}

/// Numbers whose digits take time in square.
const fn arithmetic(least: u64) -> Lengths {
    Lengths { most: 4096, ..from(least) }
}

const fn by_two(least: u64) -> Lengths {
    Lengths { step: 2, ..from(least) }
}

/// Of letters that others are written beside.
const LETTERS: Choice = Choice::number("symbols", 2, 2..=26);
const USUAL: Layout = Layout::After(SEPARATOR);

type Question = fn(usize, Own, &mut Draws) -> Vec<u8>;

const fn row(
    name: &'static str,
    class: Class,
    lengths: Lengths,
    question: Question,
    solve: fn(&[u8]) -> Solution,
) -> Row {
    Row { name, class, lengths, own: &[], layout: USUAL, question, solve }
}

/// Every problem: regular, deterministic context-free and context-sensitive languages (arXiv 2207.02098), state tracking, recall.
pub(super) static ROWS: [Row; 21] = [
    row("even-pairs", Class::Regular, from(1), even_pairs::question, even_pairs::solve),
    row("parity", Class::Regular, from(1), parity::question, parity::solve),
    row("cycle-navigation", Class::Regular, from(1), cycle_navigation::question, cycle_navigation::solve),
    row("modular-arithmetic", Class::Regular, by_two(1), modular_arithmetic::question, modular_arithmetic::solve),
    row("modular-arithmetic-brackets", Class::ContextFree, arithmetic(1), brackets::question, brackets::solve),
    Row {
        own: &[Choice::number("symbols", 16, 1..=62)],
        ..row(
            "reverse",
            Class::ContextFree,
            Lengths { default: 32, most: 1 << 30, shortest: Shortest::Longest, ..from(1) },
            reverse::question,
            reverse::solve,
        )
    },
    row("stack-manipulation", Class::ContextFree, from(1), stack_manipulation::question, stack_manipulation::solve),
    row("solve-equation", Class::ContextFree, arithmetic(3), solve_equation::question, solve_equation::solve),
    Row { own: &[LETTERS], ..row("duplicate", Class::ContextSensitive, from(1), reverse::question, duplicate::solve) },
    row("missing-duplicate", Class::ContextSensitive, by_two(2), missing_duplicate::question, missing_duplicate::solve),
    Row {
        own: &[LETTERS],
        ..row("odds-first", Class::ContextSensitive, from(1), reverse::question, odds_first::solve)
    },
    row("binary-addition", Class::ContextSensitive, arithmetic(3), binary_addition::question, binary_addition::solve),
    row(
        "binary-multiplication",
        Class::ContextSensitive,
        arithmetic(3),
        binary_multiplication::question,
        binary_multiplication::solve,
    ),
    row("square-root", Class::ContextSensitive, arithmetic(1), square_root::question, square_root::solve),
    Row {
        own: &[Choice::number("symbols", 5, 2..=10)],
        ..row("bucket-sort", Class::ContextSensitive, from(1), bucket_sort::question, bucket_sort::solve)
    },
    row("s3", Class::StateTracking, from(1), permutations::question, permutations::solve::<3>),
    row("s5", Class::StateTracking, from(1), permutations::question, permutations::solve::<5>),
    Row {
        own: &[Choice::number("values", 10, 1..=10), Choice::number("gap", 0, 0..=1 << 30)],
        layout: Layout::Between,
        ..row(
            "mqar",
            Class::Recall,
            Lengths { most: mqar::KEYS as u64, default: 16, ..from(1) },
            mqar::question,
            mqar::solve,
        )
    },
    Row {
        // Four letters make 84 keys, more than are asked for.
        own: &[Choice::number("symbols", 4, 4..=26)],
        ..row(
            "fuzzy-recall",
            Class::Recall,
            Lengths { most: 64, default: 16, ..from(1) },
            fuzzy_recall::question,
            fuzzy_recall::solve,
        )
    },
    Row {
        own: &[Choice::number("letters", 8, 1..=64), Choice::number("symbols", 16, 1..=26)],
        ..row("selective-copying", Class::Recall, from(1), selective_copying::question, selective_copying::solve)
    },
    Row {
        own: &[Choice::number("symbols", 16, 1..=26)],
        layout: Layout::After(induction_heads::STAR),
        ..row("induction-heads", Class::Recall, from(2), induction_heads::question, induction_heads::solve)
    },
];
